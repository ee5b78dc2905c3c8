"""What ends a round of a pipeline, and not its process."""

import pytest
from confluent_kafka import KafkaError, KafkaException
from quixstreams.kafka.exceptions import KafkaBrokerUnavailableError, KafkaConsumerException

from herald.outbox.kafka.clients import own_code
from herald.pipeline.consume.connection import SilentKafkaError
from herald.pipeline.consume.dead_letters import DeadLetterError
from herald.pipeline.consume.inbox import WorkerError
from herald.pipeline.consume.topic_ids import TopicMadeAnewError
from herald.pipeline.errors import OutageError
from herald.pipeline.round import is_outage

AWAY = KafkaError(own_code("TRANSPORT"))
FORBIDDEN = KafkaError(KafkaError.GROUP_AUTHORIZATION_FAILED)


@pytest.mark.parametrize(
    "error",
    [
        OutageError("the database"),
        SilentKafkaError("nobody answers"),
        DeadLetterError("1 not acknowledged"),
        TopicMadeAnewError("made anew: notifications"),
        KafkaBrokerUnavailableError("nobody answers"),
        KafkaException(AWAY),
        KafkaConsumerException(AWAY),
    ],
)
def test_a_server_that_is_away_ends_a_round(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [ZeroDivisionError(), WorkerError("it hangs"), KafkaException(FORBIDDEN), KafkaConsumerException(FORBIDDEN)],
)
def test_whatever_else_ends_the_process(error: Exception) -> None:
    assert not is_outage(error)
