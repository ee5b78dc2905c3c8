"""What Kafka is asked, and does not answer."""

from concurrent.futures import Future

import pytest
from confluent_kafka import KafkaError, KafkaException

from herald.outbox.kafka import clients
from herald.outbox.kafka.clients import answer_to, code


def test_a_question_that_is_never_answered_ends_as_an_error_of_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "ANSWER_TIMEOUT", 0.01)

    with pytest.raises(KafkaException) as ended:
        answer_to(Future[None]())

    assert code(ended.value) == KafkaError._TIMED_OUT  # noqa: SLF001 - librdkafka's name
