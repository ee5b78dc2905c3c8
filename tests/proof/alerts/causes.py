"""What makes each alert fire on a live system, and what ends it."""

from collections.abc import Callable
from dataclasses import dataclass

from uuid_utils import uuid7

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.locks import LEADER
from herald.outbox.postgres.statements import execute
from tests.proof.alerts.stage import DELIVERED, Stage
from tests.servers.eventually import eventually
from tests.servers.postgres import connect_to_tables

Undo = Callable[[], object]
FAILING = 20  # mails while the mail server is away
SOON = 5.0  # seconds until a message comes due
_ASIDE = """
INSERT INTO outbox (stream_id, version, type, topic, data, payload, recorded_at)
VALUES ('{stream}', 1, 'message.requested', 'no topic!', '{{}}', '{{"request": 1}}', clock_timestamp())
"""


@dataclass(frozen=True)
class Cause:
    """`begin` breaks something and returns what mends it, after which a person does `then`, in a shell.

    `entails` are alerts that fire for it as well. What is mended `outside`, where no command of ours reaches, is so
    after so many blocks of the runbook's part on mending.
    """

    alert: str
    what: str
    begin: Callable[[Stage], Undo]
    entails: frozenset[str]
    then: str | None
    outside: int | None

    def end(self, stage: Stage, undo: Undo) -> None:
        """All of it."""
        undo()
        if self.then:
            stage.run(self.then)


def cause(
    alert: str, what: str, *entails: str, then: str | None = None, outside: int | None = None
) -> Callable[[Callable[[Stage], Undo]], Cause]:
    """Of the function that it decorates."""
    return lambda begin: Cause(alert, what, begin, frozenset(entails), then, outside)


@cause("HeraldProcessDown", "one of two APIs is killed and not started again")
def process_down(stage: Stage) -> Undo:
    stage.hold("api-2")
    return lambda: stage.release("api-2")


@cause("HeraldNoRelayLeads", "a session that is no relay has the leader's lock")
def no_relay_leads(stage: Stage) -> Undo:
    relays = list(stage.fleet.of("relay"))
    stage.hold(*relays)
    connection = _psql(stage)
    lock = "SELECT pg_advisory_lock('herald'::regnamespace::oid::integer, %s)"
    execute(connection, lock, LEADER)
    connection.commit()
    stage.release(*relays)
    return connection.close


@cause(
    "HeraldNotPublished",
    "both Kafka brokers are stopped",
    *("HeraldNoRelayLeads", "HeraldDutyFails", "HeraldUnread", "HeraldWithheld"),
)
def not_published(stage: Stage) -> Undo:
    stage.second.stop()
    stage.kafka.stop()

    return stage.start_kafka


@cause("HeraldOverdue", "a session that stays open has locked a message that comes due")
def overdue(stage: Stage) -> Undo:
    message = stage.send("log", deliver_in=SOON)
    connection = _psql(stage)
    execute(connection, "SELECT FROM messages WHERE id = %s FOR UPDATE", message)
    return connection.close


@cause("HeraldUnread", "no pipeline runs", "HeraldProcessDown")
def unread(stage: Stage) -> Undo:
    pipelines = list(stage.fleet.of("pipeline"))
    stage.hold(*pipelines)
    return lambda: stage.release(*pipelines)


@cause(
    "HeraldNothingSucceeds",
    "the mail server is away",
    "HeraldDestinationFailing",
    then="herald resume channel:email || true",
    outside=1,
)
def nothing_succeeds(stage: Stage) -> Undo:
    stage.mail.stop()
    for number in range(FAILING):
        stage.send("email", f"user-{number}@example.com")
    return stage.mail.start


@cause("HeraldDestinationFailing", "a receiver of webhooks answers with errors", outside=0)
def destination_failing(stage: Stage) -> Undo:
    receiver = stage.receiver(503)
    for _ in range(FAILING):
        stage.send("webhook", receiver.address)
    return receiver.mend


@cause(
    "HeraldDeadLetters",
    "a receiver says that it is gone for good",
    then="herald dead-letters requeue --channel webhook --yes --wait",
    outside=0,
)
def dead_letters(stage: Stage) -> Undo:
    receiver = stage.receiver(410)
    message = stage.send("webhook", receiver.address)
    eventually(lambda: stage.status(message) == "dead", DELIVERED, what="it is dead")
    return receiver.mend


@cause("HeraldWithheld", "the only broker that has a partition is stopped", "HeraldDutyFails")
def withheld(stage: Stage) -> Undo:
    stage.second.stop()
    return stage.start_kafka


@cause(
    "HeraldSetAside",
    "a row that nobody can publish is written into the log",
    then="for row in $(herald set-aside list --json | jq -r '.[] | \"\\(.stream_id).\\(.version)\"'); do"
    " herald set-aside discard $row --reason 'written by hand'; done",
)
def set_aside(stage: Stage) -> Undo:
    stage.server.execute(_ASIDE.format(stream=uuid7()))
    return _nothing


@cause(
    "HeraldDutyFails",
    "the relay may no longer read a table",
    then='herald roles | psql -q -v ON_ERROR_STOP=1 "$DATABASE_URL"',
)
def duty_fails(stage: Stage) -> Undo:
    stage.server.execute("REVOKE ALL ON requeues FROM herald_relay")
    return _nothing


@cause("HeraldApiFails", "the database lets the API's login in no more")
def api_fails(stage: Stage) -> Undo:
    stage.server.execute("ALTER ROLE api CONNECTION LIMIT 0")
    stage.server.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'api'")
    return lambda: stage.server.execute("ALTER ROLE api CONNECTION LIMIT -1")


def _psql(stage: Stage) -> Connection:
    """Somebody's session, open in a terminal."""
    connection = connect_to_tables(stage.server.url())
    execute(connection, "SET application_name = 'psql'")
    connection.commit()
    return connection


def _nothing() -> None:
    """All is left to a person."""


# What begins together disturbs each other in nothing; a set begins when the one before is over.
SETS: tuple[tuple[Cause, ...], ...] = (
    (set_aside, dead_letters, withheld, duty_fails, nothing_succeeds, destination_failing),
    (overdue, unread, api_fails),
    (no_relay_leads, process_down),
    (not_published,),
)
CAUSES = {one.alert: one for together in SETS for one in together}
