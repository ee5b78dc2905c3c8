from collections.abc import Mapping
from threading import Event

import pytest
from confluent_kafka import KafkaError, KafkaException

from herald.pipeline.consume.topic_ids import TopicMadeAnewError, TopicWatch

ANSWERED = 10.0  # seconds
FIRST = {"notifications": "a", "generic_topic": "b"}
Answer = Mapping[str, str] | KafkaException


class Watched:
    """What the watch says while Kafka answers like this, one answer after the other."""

    def __init__(self, *answers: Answer) -> None:
        self._answers = iter(answers)
        self.is_over = Event()
        self.errors: list[TopicMadeAnewError] = []
        with TopicWatch(self._read, self._note, interval=0.001):
            assert self.is_over.wait(ANSWERED)

    def _read(self) -> Mapping[str, str]:
        answer = next(self._answers, None)
        if answer is None:
            self.is_over.set()
            return {}
        if isinstance(answer, KafkaException):
            raise answer
        return answer

    def _note(self, error: TopicMadeAnewError) -> None:
        self.errors.append(error)
        self.is_over.set()


def test_a_topic_with_another_id_was_made_anew() -> None:
    watched = Watched(FIRST, FIRST, {**FIRST, "notifications": "c"})

    assert [str(error) for error in watched.errors] == ["made anew: notifications"]


def test_a_topic_that_is_missing_for_a_while_and_comes_back_is_the_same() -> None:
    assert not Watched(FIRST, {"generic_topic": "b"}, {}, FIRST).errors


def test_a_topic_that_was_missing_at_first_is_known_from_its_first_sight() -> None:
    assert not Watched({}, FIRST, FIRST).errors
    assert Watched({}, FIRST, {"generic_topic": "c"}).errors


def test_a_broker_that_does_not_answer_is_asked_again() -> None:
    away = KafkaException(KafkaError(KafkaError._TRANSPORT))  # noqa: SLF001 - librdkafka's name

    assert Watched(FIRST, away, away, {"generic_topic": "c"}).errors


def test_at_first_the_broker_must_answer() -> None:
    away = KafkaException(KafkaError(KafkaError._TRANSPORT))  # noqa: SLF001 - librdkafka's name

    with pytest.raises(KafkaException):
        Watched(away)
