"""The Quix Application: which topics, how often a checkpoint, and when it stops."""

import logging
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from time import monotonic
from typing import cast

from confluent_kafka import TopicPartition
from quixstreams import Application
from quixstreams.error_callbacks import default_on_consumer_error
from quixstreams.kafka import ConnectionConfig
from quixstreams.models import RawConfluentKafkaMessageProto, SuccessfulConfluentKafkaMessageProto

from herald.outbox.kafka.clients import librdkafka
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.settings import Settings
from herald.outbox.threads import Thread
from herald.pipeline.consume.commits import survive_failed_commits
from herald.pipeline.consume.connection import STATISTICS, BrokerWatch
from herald.pipeline.consume.sink import DeliverySink
from herald.pipeline.sparing import OncePer

POLL_TIMEOUT = 0.2  # seconds; a record ends the wait at once, the window's end comes this much late at most
STOP_AGAIN = 0.1  # seconds between two calls of stop()
QUIX = "quixstreams"  # the logger of all its modules
QUIET = 10.0  # seconds in which one kind of Quix's warnings is shown once
QUEUE_SHARE, FETCH_SHARE = 4, 8  # parts of HERALD_MEMORY: what is fetched ahead, and one answer to a fetch
LEAST_FETCH = 1_000_000  # bytes; librdkafka takes no less than its own message.max.bytes
# What was fetched is handed over in its order: a message waits for all that was fetched before, of whatever partition.
AHEAD = {
    "queued.min.messages": 100,  # no more is fetched while so many wait
    "fetch.queue.backoff.ms": 5,  # until it is looked again whether fewer do; 1,000 would let them run out
    "max.partition.fetch.bytes": 16_384,  # of one partition in one fetch; a larger batch comes alone
}
CONSUMER = {
    "client.id": "herald-pipeline",
    "topic.metadata.refresh.interval.ms": 10_000,  # new partitions would be seen after 5 minutes
    "reconnect.backoff.max.ms": 1_000,
    "socket.timeout.ms": 10_000,  # an answer that the network has swallowed would be waited for a minute
    "statistics.interval.ms": STATISTICS,
    **AHEAD,
}


class PipelineApplication(Application):
    """One dataframe per topic, which must exist, all into the same sink; the window is the checkpoint.

    It leaves signals to the process, which may be told to stop before Quix runs, and hands partitions over. A record
    that cannot even be read goes to the sink as well, to be a dead letter: Quix would end, and end again at the same
    record. `hand_over` is called when partitions are about to go to another process; the caller sets `on_failure`,
    which is called when Quix begins to end by itself. Quix makes a subfolder of `folder`, though nothing here keeps
    state in files. Raises KafkaException when the broker does not answer.
    """

    on_failure: Callable[[], None]

    def __init__(
        self,
        settings: Settings,
        sink: DeliverySink,
        topics: Iterable[str],
        hand_over: Callable[[], None],
        *,
        connection: BrokerWatch,
        folder: Path,
    ) -> None:
        self._sink = sink
        self._hand_over = hand_over
        super().__init__(
            broker_address=ConnectionConfig.from_librdkafka_dict(librdkafka(settings), ignore_extras=True),
            consumer_group=settings.group,
            auto_offset_reset="earliest",
            auto_create_topics=False,
            commit_every=settings.window_size,
            commit_interval=settings.window_seconds,
            consumer_poll_timeout=POLL_TIMEOUT,
            use_changelog_topics=False,
            state_dir=folder,
            loglevel=None,
            on_consumer_error=self._take_unreadable,
            broker_availability_timeout=settings.kafka_patience,
            consumer_extra_config={**CONSUMER, **_limits(settings), "stats_cb": connection.note},
        )
        survive_failed_commits(self._processing_context)
        on_kafka = TopicNames(settings.topic_prefix).on_kafka
        for name in topics:
            topic = self.topic(on_kafka(name), value_deserializer="bytes", key_deserializer="bytes")
            self.dataframe(topic).sink(sink)

    def stop(self, fail: bool = False) -> None:  # noqa: FBT001, FBT002 - Quix's own
        """What Quix closes after a failure may hang like anything else: whoever ends the process hard is told first."""
        if fail:
            self.on_failure()
        super().stop(fail=fail)

    def _setup_signal_handlers(self) -> None:
        """Quix would lose a SIGTERM that comes while it starts."""

    def _on_revoke(self, consumer: object, topic_partitions: list[TopicPartition]) -> None:
        """The group waits for this: whoever gets the partitions begins once it has returned."""
        try:
            super()._on_revoke(consumer, topic_partitions)
        finally:
            self._hand_over()

    def _on_lost(self, consumer: object, topic_partitions: list[TopicPartition]) -> None:
        """What was not committed of them is not this process's to commit any more, nor what is not claimed to claim.

        Another may have begun already. Where they come back to this one, what it has claimed goes first.
        """
        super()._on_lost(consumer, topic_partitions)
        self._processing_context.init_checkpoint()
        self._sink.drop(topic_partitions)
        self._hand_over()

    def _take_unreadable(
        self, error: Exception, message: RawConfluentKafkaMessageProto | None, logger: logging.Logger
    ) -> bool:
        if message is None:
            return bool(default_on_consumer_error(error, message, logger))
        record = cast("SuccessfulConfluentKafkaMessageProto", message)
        self._sink.add_unreadable(record, error)
        self._processing_context.store_offset(record.topic(), record.partition(), record.offset())
        return True


def _limits(settings: Settings) -> dict[str, int]:
    """Times in milliseconds, and memory. Ten heartbeats in a session: soon enough to be told of a rebalance."""
    session = round(settings.session_timeout * 1000)
    return {
        "session.timeout.ms": session,
        "heartbeat.interval.ms": session // 10,
        "fetch.wait.max.ms": max(1, round(settings.fetch_wait * 1000)),
        "queued.max.messages.kbytes": settings.memory // QUEUE_SHARE // 1024,
        "fetch.max.bytes": max(settings.memory // FETCH_SHARE, LEAST_FETCH),
    }


def run_until(application: Application, stop: threading.Event) -> None:
    """Run it; returns after `stop` was set, and raises what Quix raises."""
    ended = threading.Event()

    def stop_it() -> None:
        stop.wait()
        while not ended.wait(STOP_AGAIN):  # Quix forgets a stop that comes before its loop has begun
            application.stop()

    Thread(stop_it, "stop").start()
    try:
        application.run()
    finally:
        ended.set()


class OncePerKind(logging.Filter):
    """Lets a kind of Quix's lines pass once per `QUIET` seconds: a dead broker makes dozens a second.

    A kind is its level and its first words: the rest holds addresses and times. It belongs on handlers: on a logger it
    would not see the lines of that one's children.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        super().__init__(QUIX)
        self._once = OncePer(QUIET, clock)

    def filter(self, record: logging.LogRecord) -> bool:
        is_of_quix = super().filter(record)
        return not is_of_quix or self._once.allows((record.levelno, record.getMessage()[:40]))


def quieten_quix() -> None:
    """Show warnings and errors only, each kind once in 10 s; call it after the handlers are there."""
    logging.getLogger(QUIX).setLevel(logging.WARNING)
    for handler in logging.getLogger().handlers:
        handler.addFilter(OncePerKind())
