"""`herald relay`: leads or stands by, term after term, until it is told to stop.

One relay is active, any number stand by. The active one holds a session advisory lock; lock,
snapshots, reads and the cursor's saves happen in that one session, so losing the session loses
all of them together, and the next term begins at the stored cursor.

A page is a part of the difference between two snapshots, in the order of positions. It is settled
when Kafka has acknowledged every record in it, or refused one for good; the cursor advances over
settled pages only, in order. What a crash repeats is dropped by the claim.
"""

import math
import threading
import time
from dataclasses import dataclass

import rich_click as click
import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.crash_points import reach
from herald.outbox.extensions import ExtensionError
from herald.outbox.kafka.asking import Asking
from herald.outbox.kafka.clients import (
    ANSWER_TIMEOUT,
    abandon,
    explanation,
    make_admin,
)
from herald.outbox.kafka.owner import OwnedElsewhereError, claim
from herald.outbox.kafka.topics import make_topics, read_cluster_id
from herald.outbox.kafka.waiting import warn_if_not_configured
from herald.outbox.postgres.connections import reason
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.postgres.instance import identified, note_timeline
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay import session as sessions
from herald.outbox.relay.cursor import Cursor, CursorError, LostLeadError
from herald.outbox.relay.errors import BatchRefusedError, FatalProducerError, PublishError, SilentKafkaError
from herald.outbox.relay.judging import Judge
from herald.outbox.relay.leadership import Leadership
from herald.outbox.relay.term import DEAF_POLL, POLL
from herald.outbox.scheduler.duties import load_tasks, make_duties, make_kafka_duties
from herald.outbox.scheduler.look import LOOK, Looks
from herald.outbox.scheduler.retention import CLOSE_BOOKS, Retention
from herald.outbox.scheduler.schedule import Duty, Scheduler, running
from herald.outbox.settings import Settings
from herald.outbox.startup import UnreadableLogError, wait_for_database
from herald.outbox.watched.life import living
from herald.outbox.watched.relay import LEADS, METRICS, TERMS
from herald.outbox.watched.servers import KAFKA, SERVERS

STANDBY_POLL = 0.5  # seconds between two tries to become the leader
PAUSE = 1.0  # seconds after a term that failed
_log = structlog.get_logger()


def run(settings: Settings, stop: threading.Event, *, poll: float = POLL) -> int:
    """Term after term; returns the exit code.

    0 when told to stop, 1 when the supervisor should start it anew, 2 where a task cannot be loaded. `poll` is how many
    seconds it rests without a notification, and how soon it answers `stop`.
    """
    try:
        with living("start", may_fail=True):
            load_tasks()  # each term has duties of its own; what is broken is known before the first
            wait_for_database(settings, stop)
    except ExtensionError as error:
        click.echo(str(error), err=True)
        return 2
    except (UnfitError, UnreadableLogError) as error:
        _log.error("relay_cannot_start", reason=str(error))
        return 1
    warn_if_not_configured(settings)
    with living("relay"):
        return _lead_again(settings, stop, poll=poll)


def _lead_again(settings: Settings, stop: threading.Event, *, poll: float) -> int:
    is_careful, judge = False, Judge()
    while not stop.is_set():
        try:
            lead(settings, stop, judge, is_careful=is_careful, poll=poll)
            is_careful = False
        except BatchRefusedError as error:
            _log.warning("batch_refused", reason=str(error), next="each record alone, to find the one")
            is_careful = True
        except (UnfitError, CursorError, FatalProducerError, OwnedElsewhereError) as error:
            _log.error("relay_cannot_lead", reason=str(error))
            return 1
        except (PostgresError, KafkaException, LostLeadError, PublishError) as error:
            _log.warning("term_ended", reason=reason(error), next_try_seconds=PAUSE)
            if isinstance(error, KafkaException | SilentKafkaError):
                SERVERS.lost(KAFKA)
            stop.wait(PAUSE)
    return 0


def lead(settings: Settings, stop: threading.Event, judge: Judge, *, is_careful: bool, poll: float = POLL) -> None:
    """Wait for the lock, then publish until stopped, or for some pages carefully. Raises what ends a term."""
    session = sessions.open_session(settings)
    try:
        if _waited_for_lock(session, settings, stop):
            known = identified(settings, session)
            note_timeline(session)
            _serve(session, known, stop, judge, is_careful=is_careful, poll=poll)
    finally:
        sessions.end_session(session)


def _waited_for_lock(session: Connection, settings: Settings, stop: threading.Event) -> bool:
    is_told = False
    while not stop.is_set():
        if sessions.try_to_lead(session):
            return True
        if not is_told:
            _log.info("standing_by", reason="another relay leads")
            SERVERS.found(KAFKA)  # who stands by does not ask
            is_told = True
        if sessions.end_deaf_leader(session, settings):
            _log.warning("deaf_leader_ended", reason=f"it read nothing for {sessions.SILENCE}")
        stop.wait(STANDBY_POLL)
    return False


def _serve(
    session: Connection, settings: Settings, stop: threading.Event, judge: Judge, *, is_careful: bool, poll: float
) -> None:
    """What needs no Kafka goes on while it does not answer; after its patience this relay lets another lead."""
    reach("relay.locked")
    sessions.check_alone(settings)
    stored = cursors.load(session)
    cursors.check_database(session, stored)
    retention = [Duty(CLOSE_BOOKS, Retention(settings.retention).turn, name="retention")]
    if settings.metrics_port:
        retention.append(Duty(LOOK, Looks(settings).look, name="look"))
    # what may be slow has a thread of its own: it must not hold up what is due
    schedulers = (
        Scheduler(settings, make_duties(settings), is_steady=True),
        Scheduler(settings, retention, name="retention"),
        Scheduler(settings, load_tasks(), name="tasks", limit=math.inf),  # they are anybody's
    )
    try:
        with running(schedulers):
            kafka = _reach_kafka(session, settings, stop)
            if kafka is not None:
                _publish(session, settings, stop, stored, kafka, judge, is_careful=is_careful, poll=poll)
    finally:
        METRICS.forget()


@dataclass(frozen=True)
class _Kafka:
    """A client that a broker has answered."""

    admin: AdminClient
    cluster_id: str
    topics_made: list[str]


def _reach_kafka(session: Connection, settings: Settings, stop: threading.Event) -> _Kafka | None:
    """Ask, each time with a new client, until Kafka answers; None once `stop` is set.

    Raises KafkaException when the patience is over.
    """
    deadline = time.monotonic() + settings.kafka_patience
    while not stop.is_set():
        admin = make_admin(settings)
        try:
            admin.list_topics(timeout=ANSWER_TIMEOUT)
            sessions.speak(session)
            # before the topics: a pipeline that finds them finds whose they are
            claim(settings, admin, lambda: sessions.speak(session), stop=stop)
            sessions.speak(session)
            made = make_topics(admin, settings)
            sessions.speak(session)
            SERVERS.found(KAFKA)
            return _Kafka(admin, read_cluster_id(admin), made)
        except KafkaException as error:
            abandon(admin)
            if time.monotonic() > deadline:
                raise
            what = f"Kafka at {settings.kafka_bootstrap_servers}"
            _log.warning("waiting", what=what, reason=explanation(error), next_try_seconds=PAUSE)
            SERVERS.lost(KAFKA)
        sessions.speak(session)
        stop.wait(PAUSE)
    return None


def _publish(  # noqa: PLR0913 - what a term is made of
    session: Connection,
    settings: Settings,
    stop: threading.Event,
    stored: Cursor,
    kafka: _Kafka,
    judge: Judge,
    *,
    is_careful: bool,
    poll: float,
) -> None:
    """One term, with the duties that ask Kafka beside it. Raises what ends a term."""
    cursor = cursors.begin_term(session, stored, cluster_id=kafka.cluster_id)
    hears = sessions.hears_notifications(session, settings)
    if not hears:
        _log.warning("notifications_do_not_arrive", consequence=f"looking every {DEAF_POLL} s instead")
    _log.info("leading", epoch=cursor.epoch, topics_made=kafka.topics_made)
    TERMS.inc()
    reach("relay.leading")
    rest = poll if hears else DEAF_POLL
    leadership = Leadership(session, cursor, settings, poll=rest, is_careful=is_careful, judge=judge)
    asking = Asking(settings, kafka.admin, leadership.is_answered_or_ends)
    duties = make_kafka_duties(settings, asking, on_deleted_topic=leadership.renew)
    try:
        kafka_duties = Scheduler(settings, duties, name="kafka-duties")
        with running([kafka_duties]), LEADS.track_inprogress():
            leadership.run(stop)
    finally:
        asking.close()
