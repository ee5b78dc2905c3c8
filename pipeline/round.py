"""A round of the pipeline: what it is made of, from when all servers are there until one of them is away for too long.

Whatever has met a server belongs to a round and ends with it, clients of Kafka above all: after an outage they may
never connect again. The process goes on, and so do its probes.
"""

import gc
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from quixstreams.kafka.exceptions import BaseKafkaException, KafkaBrokerUnavailableError

from herald.outbox.kafka.asking import Asking
from herald.outbox.kafka.clients import SILENT, is_silence, librdkafka, make_admin
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.kafka.topics import read_topic_ids
from herald.outbox.moves.breakers import policy_of
from herald.outbox.postgres.connections import connect_watched
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.settings import Settings
from herald.outbox.stopping import Stop
from herald.outbox.watched.life import living
from herald.outbox.watched.pipeline import ROUNDS
from herald.outbox.watched.servers import CONSUMER, KAFKA, SERVERS
from herald.pipeline.consume.application import PipelineApplication, run_until
from herald.pipeline.consume.connection import BrokerWatch, SilentKafkaError
from herald.pipeline.consume.dead_letters import DeadLetters
from herald.pipeline.consume.intake import Intake
from herald.pipeline.consume.sink import DeliverySink
from herald.pipeline.consume.topic_ids import TopicWatch
from herald.pipeline.deliver.routing import Router
from herald.pipeline.errors import OutageError
from herald.pipeline.load import decoder_for
from herald.pipeline.topic import Topic
from herald.pipeline.work.ledger import Ledger
from herald.pipeline.work.worker import Worker

CLOSE_MARGIN = 2.0  # seconds to record the outcome of a delivery that took all its time

_log = structlog.get_logger()


def play(
    settings: Settings, topics: Mapping[str, Topic], router: Router, stop: Stop, *, on_failure: Callable[[], None]
) -> str | None:
    """Consume, and destroy all clients, which may block for ever; why the round was over, None once told to stop.

    `on_failure` is called when it begins to end by itself, which may take as long as the deliveries under way. Raises
    what is no outage.
    """
    try:
        consume(settings, topics, router, stop, on_failure=on_failure)
    except Exception as error:
        if not is_outage(error):
            raise
        why = f"{type(error).__name__}: {error}"
    else:
        return None
    gc.collect()  # here, where somebody would end the process that blocks
    return why


def is_outage(error: Exception) -> bool:
    """Whether a server was away, or is another one now, and the next round may go on."""
    if isinstance(error, KafkaException):  # Kafka went away while the round began
        return is_silence(error)
    if isinstance(error, BaseKafkaException):
        return error.code in SILENT
    return isinstance(error, OutageError | KafkaBrokerUnavailableError)


def consume(
    settings: Settings,
    topics: Mapping[str, Topic],
    router: Router,
    stop: Stop,
    *,
    on_failure: Callable[[], None] = lambda: None,
) -> None:
    """Run the application until `stop` is set, then settle the deliveries that are under way.

    Raises what ended it before: OutageError, WorkerError, and what Quix raises.
    """
    over, admin = stop.part(), make_admin(settings)

    def fail() -> None:
        if not over.is_set():
            on_failure()
        over.set()

    worker = make_worker(settings, topics, router, admin, stop=over, on_error=fail)
    asking = Asking(settings, admin, lambda: give_up(SilentKafkaError("Kafka answers nothing any more")))

    def give_up(error: SilentKafkaError) -> bool:
        _log.warning("kafka_is_silent", reason=str(error), next="begins anew, with new clients")
        worker.fail(error)
        return False

    with (
        TemporaryDirectory(prefix="herald-", ignore_cleanup_errors=True) as folder,
        TopicWatch(lambda: asking.ask(read_topic_ids), worker.fail),
    ):
        sink = DeliverySink(worker.inbox, TopicNames(settings.topic_prefix))
        connection = BrokerWatch(settings.kafka_patience, give_up)
        application = PipelineApplication(
            settings, sink, topics, worker.hand_over, connection=connection, folder=Path(folder)
        )
        application.on_failure = fail
        _log.info("pipeline_started", topics=sorted(topics), group=settings.group, window=settings.window_size)
        _run(application, worker, over, close_within=longest_delivery(settings) + CLOSE_MARGIN)
    _log.info("pipeline_stopped")


def _run(application: PipelineApplication, worker: Worker, over: threading.Event, *, close_within: float) -> None:
    """Both, until `over` is set, and what is under way then. Raises what ended them before."""
    worker.start()
    ROUNDS.inc()
    try:
        with living(
            "consumer", is_idle=lambda: worker.holds_up_flush() or SERVERS.is_lost(KAFKA, CONSUMER), may_fail=True
        ):
            run_until(application, over)
    except Exception:
        worker.raise_failure()  # rather than what came of it
        raise
    finally:
        worker.close(close_within)
        SERVERS.found(CONSUMER)  # there is none that could miss it
    worker.raise_failure()


def make_worker(
    settings: Settings,
    topics: Mapping[str, Topic],
    router: Router,
    admin: AdminClient,
    *,
    stop: threading.Event,
    on_error: Callable[[], None],
) -> Worker:
    ledger = Ledger(
        lambda: connect_watched(settings, "herald-pipeline", is_steady=True),
        policy_of(settings),
        lease=settings.lease,
        stop=stop,
    )
    decoder = decoder_for(settings, topics, admin, read_latest_date=ledger.read_latest_date, knows=ledger.is_known)
    letters = DeadLetters(librdkafka(settings), TopicNames(settings.topic_prefix).on_kafka(DEAD_LETTERS))
    return Worker(settings, Intake(decoder), router, ledger, letters.send, on_error)


def longest_delivery(settings: Settings) -> float:
    """Seconds that the slowest channel allows one delivery."""
    return max(settings.delivery_timeout, *(own.timeout or 0.0 for own in settings.channels.values()), 0.0)
