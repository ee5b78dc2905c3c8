"""The process `herald pipeline`: how it starts, goes on after an outage, and stops."""

import contextlib
import gc
from logging import ERROR, INFO
from time import monotonic

import rich_click as click
import structlog
from confluent_kafka import KafkaException

from herald.outbox.extensions import ExtensionError
from herald.outbox.kafka.clients import ANSWER_TIMEOUT, ask_anew
from herald.outbox.kafka.owner import OwnedElsewhereError, refuse_others
from herald.outbox.kafka.waiting import wait_for_kafka
from herald.outbox.logs import configure_logs
from herald.outbox.postgres.connections import connect_watched
from herald.outbox.postgres.driver import OperationalError
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.postgres.instance import identified
from herald.outbox.registry import DEAD_LETTERS, TOPICS
from herald.outbox.restarts import Restarts
from herald.outbox.settings import Settings, SettingsError, load_settings
from herald.outbox.startup import UnreadableLogError, be_watched, usable, wait_for_database, wait_until
from herald.outbox.stopping import LEAVE, Stop, call_off_end, end_hard_in, leave, stop_on_signals
from herald.outbox.watched import traces
from herald.outbox.watched.life import living
from herald.outbox.watched.pipeline import METRICS
from herald.pipeline.consume.application import quieten_quix
from herald.pipeline.deliver.routing import Router
from herald.pipeline.load import load_channels, load_topics
from herald.pipeline.round import longest_delivery, play

# Objects; with Python's own 700 a quarter of a call's time is spent on looking at others.
COLLECT_AFTER = 20_000, 20, 20
CLOSES = 60.0  # seconds that clients of a broker which takes connections and answers nothing may take to be closed

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
    stop = Stop()
    leave_within = longest_delivery(settings) + LEAVE
    stop_on_signals(stop, leave_within=leave_within)
    configure_logs("pipeline")
    quieten_quix()
    with usable():
        be_watched(settings, METRICS.registry)
        traces.begin("pipeline")
    gc.freeze()  # what was imported stays
    gc.set_threshold(*COLLECT_AFTER)
    code = run(settings, stop, leave_within=leave_within)
    traces.end()
    leave(code)


def run(settings: Settings, stop: Stop, *, leave_within: float) -> int:
    """Consume until `stop` is set, round after round; returns the process's exit code.

    A round that begins to end by itself has `leave_within` seconds for that, and a minute more, or the process ends.
    """
    try:
        topics, restarts = load_topics(), Restarts()
        while True:
            router = Router(settings, topics, load_channels(settings))
            with living("start", may_fail=True):
                settings = wait_for_servers(settings, stop)
            if stop.is_set():
                return 0
            began = monotonic()
            why = play(settings, topics, router, stop, on_failure=lambda: end_hard_in(leave_within + CLOSES))
            call_off_end(stop, leave_within=leave_within)
            if stop.is_set():
                return 0
            wait = restarts.note_end(monotonic(), code=1, started_at=began, ready_at=began)
            _log.warning("pipeline_begins_anew", reason=why, next_try_seconds=wait)
            stop.wait(wait)
    except (ExtensionError, SettingsError) as error:
        click.echo(str(error), err=True)
        return 2
    except (UnfitError, UnreadableLogError, OwnedElsewhereError) as error:
        _log.error("pipeline_cannot_start", reason=str(error))
        return 1
    except Exception as error:  # noqa: BLE001 - Quix ends on any error by design: the supervisor starts it anew
        is_told = stop.is_set()
        _log.log(INFO if is_told else ERROR, "pipeline_ended", reason=f"{type(error).__name__}: {error}")
        return 0 if is_told else 1


def wait_for_servers(settings: Settings, stop: Stop) -> Settings:
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
