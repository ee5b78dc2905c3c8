"""What ends a term, or a stretch of it, and which of Kafka's refusals do not."""

from confluent_kafka import KafkaError

from herald.outbox.kafka.clients import own_code
from herald.outbox.relay.withheld import Part

# What Kafka will refuse again at every try. Everything else is repeated: a right that is missing is no record's fault.
# A broker refuses a whole batch for one record's sake: which one it was shows only when each is sent alone.
REFUSED_FOR_GOOD = frozenset(
    {
        KafkaError.MSG_SIZE_TOO_LARGE,
        KafkaError.INVALID_MSG_SIZE,
        KafkaError.RECORD_LIST_TOO_LARGE,
        KafkaError.INVALID_RECORD,
        KafkaError.TOPIC_EXCEPTION,
        KafkaError.POLICY_VIOLATION,
    }
)
# What is said of a topic and may change: a later release makes it, a right is given. It convicts no record.
NO_TOPIC_NOW = frozenset(
    {
        own_code("UNKNOWN_TOPIC"),
        own_code("UNKNOWN_PARTITION"),  # it was made anew with fewer than the sieve goes by
        KafkaError.UNKNOWN_TOPIC_OR_PART,
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
    }
)


class PublishError(Exception):
    """Kafka did not take a record, and may later: drop what is in flight and read again from the cursor."""


class BatchRefusedError(PublishError):
    """Kafka refused a batch: go on for some pages with every record in a batch of its own."""


class SilentKafkaError(PublishError):
    """Kafka settled nothing for as long as the patience lasts: only new clients may help (librdkafka 2.12)."""


class WithheldError(PublishError):
    """Kafka does not take what belongs to some partitions or topics, and takes the rest: go on without these."""

    def __init__(self, parts: dict[Part, str]) -> None:
        self.parts = parts
        super().__init__("; ".join(f"{part.topic} {part.partition}: {reason}" for part, reason in parts.items()))


class FatalProducerError(Exception):
    """The idempotent producer cannot go on and never will: the process has to end."""
