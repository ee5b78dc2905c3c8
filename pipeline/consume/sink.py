"""Where Quix hands records over, and asks before each checkpoint whether they are safe."""

from collections.abc import Iterable
from time import monotonic, time
from typing import cast

from confluent_kafka import TopicPartition
from quixstreams.models import HeadersTuples, SuccessfulConfluentKafkaMessageProto
from quixstreams.sinks.base import BaseSink

from herald.outbox.crash_points import reach
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.logs import log_many
from herald.outbox.watched.pipeline import WINDOW_SECONDS
from herald.pipeline.consume.inbox import Inbox
from herald.pipeline.consume.record import UNREADABLE, Arrival, Headers


class DeliverySink(BaseSink):
    """One instance for all topics: its flush is the window's end, and it only waits.

    Claims and deliveries happen as records are added; correctness rests on the claim, not on who
    owns a partition, so `flush` may run in any thread, and a partition may be lost without notice.
    """

    def __init__(self, inbox: Inbox, names: TopicNames) -> None:
        super().__init__(on_client_connect_success=lambda: None)
        self._inbox = inbox
        self._here = names.here
        self._flushed = 0

    def add(  # noqa: PLR0913, PLR0917 - Quix's signature
        self,
        value: bytes | None,
        key: bytes | None,
        timestamp: int,
        headers: HeadersTuples,
        topic: str,
        partition: int,
        offset: int,
    ) -> None:
        """Hand the record to the worker. Raises WorkerError when the worker has ended."""
        theirs = cast("Headers", headers)  # None when there are none, bytes or None otherwise
        self._inbox.add(Arrival(value, key, timestamp, theirs, self._here(topic), partition, offset))

    def add_unreadable(self, message: SuccessfulConfluentKafkaMessageProto, error: Exception) -> None:
        """Hand over a record whose headers cannot be read, as where a name is no UTF-8.

        They must not be asked for again: the client (2.12) would return a null pointer. Raises WorkerError.
        """
        value, key = cast("bytes | None", message.value()), cast("bytes | None", message.key())
        place = self._here(message.topic()), message.partition(), message.offset()
        self._inbox.add(Arrival(value, key, message.timestamp()[1], None, *place, f"{UNREADABLE}: {error}"))

    def drop(self, partitions: Iterable[TopicPartition]) -> None:
        """Forget what is added and not claimed of partitions that were lost."""
        self._inbox.drop({(self._here(one.topic), one.partition) for one in partitions})

    def flush(self) -> None:
        """Return when everything added is claimed or dead-lettered, whatever its deliveries are doing.

        Raises WorkerError; the offsets then stay where they were.
        """
        started = monotonic()
        settled = self._inbox.flush()
        reach("pipeline.flushed")
        messages, self._flushed = settled - self._flushed, settled
        waited = monotonic() - started
        WINDOW_SECONDS.observe(waited)
        if messages:
            log_many("window_committed", [(time(), {"messages": messages, "milliseconds": round(1000 * waited, 1)})])
