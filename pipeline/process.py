"""The process `herald pipeline`: what it is made of, and how it starts and stops."""

import contextlib
import gc
import logging
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import rich_click as click
import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.extensions import ExtensionError
from herald.outbox.kafka.asking import Asking
from herald.outbox.kafka.clients import ANSWER_TIMEOUT, ask_anew, librdkafka, make_admin
from herald.outbox.kafka.owner import OwnedElsewhereError, refuse_others
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.kafka.topics import read_topic_ids
from herald.outbox.kafka.waiting import wait_for_kafka
from herald.outbox.logs import configure_logs
from herald.outbox.moves.breakers import policy_of
from herald.outbox.postgres.connections import connect_watched
from herald.outbox.postgres.driver import OperationalError
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.postgres.instance import identified
from herald.outbox.registry import DEAD_LETTERS, TOPICS
from herald.outbox.settings import Settings, SettingsError, load_settings
from herald.outbox.startup import UnreadableLogError, be_watched, usable, wait_for_database, wait_until
from herald.outbox.stopping import LEAVE, end_hard_in, leave, stop_on_signals
from herald.outbox.watched import traces
from herald.outbox.watched.life import living
from herald.outbox.watched.pipeline import METRICS
from herald.outbox.watched.servers import CONSUMER, KAFKA, SERVERS
from herald.pipeline.consume.application import PipelineApplication, quieten_quix, run_until
from herald.pipeline.consume.connection import BrokerWatch, SilentKafkaError
from herald.pipeline.consume.dead_letters import DeadLetters
from herald.pipeline.consume.intake import Intake
from herald.pipeline.consume.sink import DeliverySink
from herald.pipeline.consume.topic_ids import TopicWatch
from herald.pipeline.deliver.routing import Router
from herald.pipeline.load import decoder_for, load_channels, load_topics
from herald.pipeline.topic import Topic
from herald.pipeline.work.ledger import Ledger
from herald.pipeline.work.worker import Worker

# Objects; with Python's own 700 a quarter of a call's time is spent on looking at others.
COLLECT_AFTER = 20_000, 20, 20
CLOSE_MARGIN = 2.0  # seconds to record the outcome of a delivery that took all its time

_log = structlog.get_logger()


class MissingTopicsError(Exception):
    """Kafka answers, but topics are missing: the relay makes them when it starts."""


@click.command("pipeline")
def command() -> None:
    """Deliver what is on the topics, and record what became of it.

    Consumes every registered topic in windows; each message is claimed in the database, delivered
    once, and marked sent, failed or dead. Any number of these may run.
    """
    with usable():
        settings = load_settings()
    stop = threading.Event()
    leave_within = longest_delivery(settings) + LEAVE
    stop_on_signals(stop, leave_within=leave_within)
    configure_logs("pipeline")
    quieten_quix()
    with usable():
        be_watched(settings, METRICS.registry)
        traces.begin("pipeline")
    gc.freeze()  # what was imported stays
    gc.set_threshold(*COLLECT_AFTER)
    code = run(settings, stop, on_failure=lambda: end_hard_in(leave_within))
    traces.end()
    leave(code)


def run(settings: Settings, stop: threading.Event, *, on_failure: Callable[[], None] = lambda: None) -> int:
    """Consume until `stop` is set; returns the process's exit code.

    `on_failure` is called when it begins to end by itself, which may take as long as the deliveries under way.
    """
    try:
        topics = load_topics()
        router = Router(settings, topics, load_channels(settings))
    except (ExtensionError, SettingsError) as error:
        click.echo(str(error), err=True)
        return 2
    try:
        with living("start", may_fail=True):
            settings = wait_for_servers(settings, stop)
    except (UnfitError, UnreadableLogError, OwnedElsewhereError) as error:
        _log.error("pipeline_cannot_start", reason=str(error))
        return 1
    if stop.is_set():
        return 0
    failed = threading.Event()

    def fail() -> None:
        if not stop.is_set():
            failed.set()
            on_failure()
        stop.set()

    try:
        consume(settings, topics, router, stop, on_error=fail)
    except Exception as error:  # noqa: BLE001 - Quix ends on any error by design: the supervisor starts it anew
        is_told = stop.is_set() and not failed.is_set()
        level = logging.INFO if is_told else logging.ERROR
        _log.log(level, "pipeline_ended", reason=f"{type(error).__name__}: {error}")
        return 0 if is_told else 1
    return 1 if failed.is_set() else 0


def wait_for_servers(settings: Settings, stop: threading.Event) -> Settings:
    """Return once all are there and Herald's own, or once `stop` is set; the settings with this Herald's instance.

    Raises UnfitError, UnreadableLogError, OwnedElsewhereError.
    """
    known = [settings]

    def identify() -> None:
        with contextlib.closing(connect_watched(settings, "herald-startup")) as connection:
            known.append(identified(settings, connection))

    def find_topics() -> None:
        found = ask_anew(settings, lambda admin: admin.list_topics(timeout=ANSWER_TIMEOUT))
        if missing := sorted({*TOPICS, DEAD_LETTERS} - set(found.topics)):
            raise MissingTopicsError(f"missing: {', '.join(missing)}; the relay makes them when it starts")

    def look_for_others() -> None:
        ask_anew(known[-1], lambda admin: refuse_others(known[-1], admin, stop=stop))

    wait_for_database(settings, stop)
    wait_until(identify, what="the database", on=OperationalError, stop=stop)
    wait_for_kafka(settings, stop)
    wait_until(find_topics, what="the topics", on=(MissingTopicsError, KafkaException), stop=stop)
    wait_until(look_for_others, what="the owner of the topics", on=KafkaException, stop=stop)
    return known[-1]


def consume(
    settings: Settings,
    topics: Mapping[str, Topic],
    router: Router,
    stop: threading.Event,
    *,
    on_error: Callable[[], None],
) -> None:
    """Run the application until `stop` is set or it fails, then settle the deliveries that are under way."""
    admin = make_admin(settings)
    worker = make_worker(settings, topics, router, admin, stop=stop, on_error=on_error)
    asking = Asking(settings, admin, lambda: give_up(SilentKafkaError("Kafka answers nothing any more")))

    def give_up(error: SilentKafkaError) -> bool:
        _log.warning("kafka_is_silent", reason=str(error), next="ends, to begin with new clients")
        worker.fail(error)
        return False

    with (
        TemporaryDirectory(prefix="herald-", ignore_cleanup_errors=True) as folder,
        TopicWatch(lambda: asking.ask(read_topic_ids), worker.fail),
    ):
        sink = DeliverySink(worker.inbox, TopicNames(settings.topic_prefix))
        application = PipelineApplication(
            settings,
            sink,
            topics,
            worker.hand_over,
            connection=BrokerWatch(settings.kafka_patience, give_up),
            folder=Path(folder),
        )
        application.on_failure = on_error
        worker.start()
        _log.info("pipeline_started", topics=sorted(topics), group=settings.group, window=settings.window_size)
        try:
            with living(
                "consumer", is_idle=lambda: worker.holds_up_flush() or SERVERS.is_lost(KAFKA, CONSUMER), may_fail=True
            ):
                run_until(application, stop)
        finally:
            worker.close(longest_delivery(settings) + CLOSE_MARGIN)
    _log.info("pipeline_stopped")


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
