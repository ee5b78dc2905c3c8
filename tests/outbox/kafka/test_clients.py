"""What Kafka is asked, and does not answer."""

from concurrent.futures import Future
from typing import get_args

import pytest
from confluent_kafka import KafkaError, KafkaException

from herald.outbox.kafka import clients
from herald.outbox.kafka.clients import OwnCode, answer_to, code, own_code


def test_a_question_that_is_never_answered_ends_as_an_error_of_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clients, "ANSWER_TIMEOUT", 0.01)

    with pytest.raises(KafkaException) as ended:
        answer_to(Future[None]())

    assert code(ended.value) == KafkaError._TIMED_OUT  # noqa: SLF001 - librdkafka's name


@pytest.mark.parametrize("name", get_args(OwnCode))
def test_librdkafka_has_each_code_that_is_called_its_own(name: OwnCode) -> None:
    assert own_code(name) < 0  # those of brokers are positive, and -1
    assert KafkaError(own_code(name)).name() == f"_{name}"
