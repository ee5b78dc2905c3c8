"""A day of traffic with retention on: the tables stay as large as they are, and what is not over is still there."""

from datetime import datetime, timedelta
from uuid import UUID

import msgspec
import pytest

from herald.outbox.moves.accept import Acceptance, accept
from herald.outbox.moves.cancel import cancel
from herald.outbox.moves.claim import Claim, Record, claim
from herald.outbox.moves.decide import discard
from herald.outbox.moves.expire import expire
from herald.outbox.moves.record import Kind, Outcome, record_outcomes
from herald.outbox.moves.settle import settle_leases
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.reader import Limits, Row, read_page
from herald.outbox.scheduler.due import request_due
from herald.outbox.scheduler.partitions import make_partitions
from herald.outbox.scheduler.retention import close_books
from herald.outbox.settings import Settings
from tests.outbox.connections import connected, make_settings
from tests.outbox.scheduler.simulated_clock import id_at, shift, simulated_clock
from tests.proof.end_to_end.system import SETTLED, MakeHerald, show, statuses
from tests.servers.eventually import eventually

RETENTION = 7200.0  # seconds
BEGAN = timedelta(hours=-25)  # the day ended an hour ago, so that what was accepted for later is due
STEP = timedelta(minutes=10)
STEPS_OF_AN_HOUR = 6
ACCEPTED = 50  # messages in each step
LIKE_BEFORE = 1.25  # how much larger than after six hours the tables may be afterwards
ENDS = {"sent", "cancelled", "discarded", "expired", "dead", "unknown"}
# what becomes of the first attempt, by the rest of a division of the message's number by 20; None: nobody says
FATES: dict[int, Kind | None] = {0: "dead", 7: "failed", 13: "unknown", 17: None}


class Day:
    """A step is what all processes do in ten minutes, by their own statements and a simulated clock."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._cursor = cursors.load(connection)
        self._requests: list[Row] = []
        self.accepted: list[UUID] = []

    def step(self, now: timedelta) -> None:
        shift(self._connection, now)
        at = read_clock(self._connection)
        make_partitions(self._connection, retention=RETENTION, at=at)
        self._accept(at)
        self._publish()
        self._deliver()
        settle_leases(self._connection, self._settings)
        expire(self._connection)
        request_due(self._connection, self._settings)
        self._clear_the_desk(at)
        self._publish()
        close_books(self._connection, retention=RETENTION, at=at)

    def _accept(self, at: datetime) -> None:
        made = [self._make(at, len(self.accepted) + number) for number in range(ACCEPTED)]
        accept(self._connection, made)
        cancel(self._connection, made[-1].id)
        self.accepted += [one.id for one in made]

    @staticmethod
    def _make(at: datetime, number: int) -> Acceptance:
        """The second one is for half an hour after the day; every 23rd for later, every 29th only for now."""
        user = f"user {number % 97}"
        data = msgspec.json.encode({"user_id": user, "event": "greeting", "content": "x" * 500})
        later = timedelta(hours=24, minutes=30) if number == 1 else timedelta(minutes=45) if number % 23 == 0 else None
        return Acceptance(
            id_at(at),
            "notifications",
            user,
            msgspec.Raw(data),
            deliver_at=at + later if later and number else None,
            deliver_by=at + STEP / 2 if number % 29 == 28 else None,
        )

    def _publish(self) -> None:
        """What the relay does, without a Kafka."""
        while True:
            page = read_page(self._connection, self._cursor, Limits(1000))
            is_empty = not page.rows and self._cursor.target is None
            self._cursor = cursors.save(self._connection, page.cursor)
            self._requests += [row for row in page.rows if row[7] is not None]
            if is_empty:
                return

    def _deliver(self) -> None:
        newest = {UUID(row[0]): int(row[7] or 0) for row in self._requests}
        self._requests = []
        records = [Record(message, request, destination="log") for message, request in newest.items()]
        won = claim(self._connection, records, lease=60)
        outcomes = [outcome for message, how in won.items() if (outcome := self._outcome(message, how))]
        record_outcomes(self._connection, outcomes, dead_letters=DEAD_LETTERS)

    def _outcome(self, message: UUID, how: Claim) -> Outcome | None:
        fate = FATES.get(self.accepted.index(message) % 20, "sent") if how.attempt == 1 else "sent"
        if fate is None:
            return None
        retry_in = 900.0 if fate == "failed" else None
        reason = None if fate == "sent" else "so"
        return Outcome(id=message, attempt=how.attempt, outcome=fate, reason=reason, retry_in=retry_in)

    def _clear_the_desk(self, at: datetime) -> None:
        """A person gives up what has been there for an hour, but for the very first one."""
        query = "SELECT id::text FROM messages WHERE status IN ('dead', 'unknown') AND updated_at < %s AND id <> %s"
        old = fetch(self._connection, query, at - timedelta(hours=1), str(self.accepted[0]))
        discard(self._connection, [UUID(message) for (message,) in old], reason="outdated")


def measure(connection: Connection) -> dict[str, int]:
    """Bytes with indexes, and rows."""
    ((size, count),) = fetch(
        connection, "SELECT sum(pg_total_relation_size(name::regclass))::bigint, count(*) FROM partitions"
    )
    ((messages,),) = fetch(connection, "SELECT count(*) FROM messages")
    ((events,),) = fetch(connection, "SELECT count(*) FROM outbox")
    return {"bytes": size, "partitions": count, "messages": messages, "events": events}


@pytest.fixture
def each_broker(broker: str) -> str:
    """The embedded one only: what is tested here is the database."""
    return broker


@pytest.mark.proof
def test_a_day_of_traffic_leaves_the_tables_flat_and_loses_nothing_that_was_not_over(
    database: str, make_herald: MakeHerald
) -> None:
    settings = make_settings(database, retention=RETENTION, idempotency_ttl=3600.0)
    measured: dict[int, dict[str, int]] = {}
    with connected(database) as connection:
        connection.autocommit = True
        with simulated_clock(connection):
            day = Day(connection, settings)
            for number in range(24 * STEPS_OF_AN_HOUR + 1):
                day.step(BEGAN + number * STEP)
                if number and number % (6 * STEPS_OF_AN_HOUR) == 0:
                    measured[number // STEPS_OF_AN_HOUR] = measure(connection)
        for hour, figures in measured.items():
            show(f"after {hour} hours of {ACCEPTED * STEPS_OF_AN_HOUR} messages each: {figures}")
        for figures in measured.values():
            assert all(figure <= LIKE_BEFORE * measured[6][name] for name, figure in figures.items())

        dead, scheduled, gone = (str(one) for one in day.accepted[:3])
        ((oldest,),) = fetch(connection, "SELECT horizon::text FROM closing")
        assert dead < scheduled < oldest or scheduled < dead < oldest

        herald = make_herald(HERALD_RETENTION=f"{RETENTION:g}", HERALD_IDEMPOTENCY_TTL="3600")
        herald.start()
        herald.await_api()
        herald.client.post(f"/dead-letters/{dead}/requeue").raise_for_status()
        eventually(lambda: [herald.look(one)["status"] for one in (dead, scheduled)] == ["sent", "sent"], SETTLED)
        eventually(lambda: set(statuses(connection)) <= ENDS, SETTLED, what="everything has ended")
        assert herald.get(f"/notifications/{scheduled}/events")["items"][0]["type"] == "message.carried"
        assert herald.client.get(f"/messages/{gone}").status_code == 404
        herald.assert_projection_equals_log()
