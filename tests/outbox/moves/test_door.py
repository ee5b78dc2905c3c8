"""What events do in SQL is what they do in Python: the same random streams through the ending and through `evolve`."""

import re
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest

from herald.outbox.message.events import (
    TYPES,
    Cancelled,
    Carried,
    DeadLettered,
    Discarded,
    Edited,
    Event,
    Expired,
    Failed,
    Late,
    OutcomeUnknown,
    Postponed,
    Rejected,
    Requested,
    Sent,
    Started,
)
from herald.outbox.message.state import FINAL, Message, Opening, fold
from herald.outbox.moves import door
from herald.outbox.moves.accept import accept, make_acceptance
from herald.outbox.moves.adopt import Foreign, Lost, adopt, recover
from herald.outbox.moves.claim import CLAIM
from herald.outbox.moves.door import Effect, moving
from herald.outbox.moves.record import RECORD
from herald.outbox.moves.send_again import send_again
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import read_log
from herald.outbox.postgres.statements import fetch_column
from tests.outbox.connections import assert_projection_equals_log, notification

SEEDS, STREAMS, LENGTH = 4, 40, 16
EFFECTS = [value for value in vars(door).values() if isinstance(value, Effect)]
TEXTS = ("busy", '100 % "sure" it\'s {not} \\ ü\n', "")
DESTINATIONS = (None, "log", "webhook:example.org")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

# What was decided, given instead of chosen; whatever happens, in one statement.
HAPPEN = moving(
    """
decided AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(decided)s::json)
        AS d(id uuid, type text, payload jsonb, data json, publish_to text, place integer)
)""",
    *EFFECTS,
    answer="SELECT id::text FROM moved",
)

# After which state what may come; a late outcome always may. Cancelling is a function of the database (test_cancel).
FOLLOWS: dict[str, tuple[type[Event], ...]] = {
    "scheduled": (Requested, Expired, Rejected),
    "pending": (Started, Started, Postponed, Sent, Rejected, Expired, Requested, Discarded),
    "sending": (Sent, Failed, OutcomeUnknown, Postponed, DeadLettered, Rejected),
    "failed": (Requested, Requested, Sent, Expired, Rejected),
    "unknown": (Sent, Requested, Edited, Discarded),
    "dead": (Requested, Requested, Edited, Discarded),
}


class Chance:
    """Draws what happens next."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)  # noqa: S311 - repeatable
        self.seen: set[type[Event]] = set()

    def date(self) -> datetime:
        return NOON + timedelta(microseconds=self.random.randrange(10**15))

    def text(self) -> str:
        return self.random.choice(TEXTS)

    def data(self) -> msgspec.Raw:
        return msgspec.Raw(msgspec.json.encode({"user_id": "ada", "event": self.text(), "n": self.random.random()}))

    def event(self, state: Message) -> Event:
        """One that may come, rather of a kind that has not come yet, with values that are as they may be."""
        kinds: list[type[Event]] = [*FOLLOWS.get(state.status, ()), Late]
        kind = self.random.choice([one for one in kinds if one not in self.seen] or kinds)
        self.seen.add(kind)
        given = {**self._values(state), **self._own_values(state).get(kind, {})}
        return kind(**{name: given[name] for name in kind.__struct_fields__ if given.get(name) is not None})

    def _values(self, state: Message) -> dict[str, Any]:
        asked = {"topic": state.topic, "key": state.key, "traceparent": state.traceparent}
        ended = {"attempt": state.attempts, "outcome": "failed", "reason": self.text(), "code": "timeout"}
        return {**asked, **ended, "due_at": self.date(), "deliver_by": self.date(), "lease_until": self.date()}

    def _own_values(self, state: Message) -> dict[type[Event], dict[str, Any]]:
        """What is drawn otherwise for events of these kinds."""
        to = self.random.choice(DESTINATIONS)
        cause = "requeued" if state.status in {"dead", "unknown"} else self.random.choice(("retry", "lost"))
        return {
            Requested: {
                "request": state.request + 1,
                "cause": cause,
                "deliver_by": None,
                "data_version": state.data_version,
            },
            Started: {"attempt": state.attempts + 1, "destination": to},
            Postponed: {} if state.status == "sending" else {"attempt": None, "destination": to},
            OutcomeUnknown: {"due_at": self.random.choice((self.date(), None))},
            Edited: {"key": self.random.choice(("bob", None)), "data": self.data()},
            Late: {"reason": self.random.choice((self.text(), None))},
        }


def begin(connection: Connection, chance: Chance) -> None:
    """Streams that begin in each way there is."""
    for number in range(STREAMS):
        later, last = (chance.random.choice((None, chance.date() + timedelta(days=36_500))) for _ in range(2))
        key, priority = chance.random.choice(("ada", None)), chance.random.choice((None, 0, 9))
        dates: dict[str, Any] = {"deliver_by": last, "priority": priority, "traceparent": "00-a-b-01"}
        begun = msgspec.structs.replace(make_acceptance("notifications", key, b"{}"), data=chance.data(), **dates)
        place = {"id": begun.id, "topic": begun.topic, "key": key, "data": begun.data, **dates}
        match number % 4:
            case 0:
                adopt(connection, [Foreign(**place, source="other", deliver_at=later)])
            case 1:
                recover(connection, [Lost(**place, version=3, request=2)])
            case _:
                accept(connection, [msgspec.structs.replace(begun, deliver_at=later)])


def decided(message: UUID, event: Event, place: int) -> dict[str, Any]:
    fields = {name: value for name, value in msgspec.structs.asdict(event).items() if value is not None}
    if isinstance(event, Requested):
        fields = {"request": event.request, "cause": event.cause}
    data = fields.pop("data", None)
    publish_to = "notifications" if isinstance(event, Requested | DeadLettered) else None
    return {
        "id": message,
        "type": event.TYPE,
        "payload": fields,
        "data": data,
        "publish_to": publish_to,
        "place": place,
    }


def streams(connection: Connection) -> dict[UUID, list[Any]]:
    found: dict[UUID, list[Any]] = {}
    for recorded in read_log(connection):
        found.setdefault(recorded.stream_id, []).append(recorded)
    return found


def send_one_again(connection: Connection, chance: Chance) -> None:
    """One of those that are over; later one that was sent again itself, perhaps."""
    known = {message: fold(stream) for message, stream in streams(connection).items()}
    over = [message for message, state in known.items() if state.status in FINAL]
    if over:
        send_again(connection, chance.random.choice(over), actor="cli:ada")
    connection.commit()


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_events_do_in_sql_is_what_they_do_in_python(connection: Connection, seed: int) -> None:
    chance = Chance(seed)
    begin(connection, chance)
    connection.commit()
    for _ in range(LENGTH):
        send_one_again(connection, chance)
        known = {message: fold(stream) for message, stream in streams(connection).items()}
        events = {message: chance.event(state) for message, state in known.items()}

        rows = [decided(message, event, place) for place, (message, event) in enumerate(events.items())]
        moved = fetch_column(connection, HAPPEN, {"decided": msgspec.json.encode(rows).decode()})
        connection.commit()

        assert {UUID(message) for message in moved} == events.keys()
        for message, stream in streams(connection).items():
            assert stream[-1].event == events[message]
            assert stream[-1].version == known[message].version + 1
        assert assert_projection_equals_log(connection) == len(known)
    assert len(known) > STREAMS
    assert any(state.again_of in known for state in known.values())
    assert chance.seen == set(TYPES.values()) - {*Opening.__args__, Carried, Cancelled} | {Requested}


def test_every_event_that_follows_another_has_an_effect() -> None:
    told = {kind.TYPE for kind in TYPES.values() if any(f"'{kind.TYPE}'" in effect.when for effect in EFFECTS)}

    assert told == TYPES.keys() - {kind.TYPE for kind in (*Opening.__args__, Carried, Cancelled)} | {Requested.TYPE}


@pytest.mark.parametrize(
    ("statement", "columns"),
    [
        (CLAIM.definition, {"status", "attempts", "reason", "reason_code", "due_at", "destination"}),
        (RECORD.definition, {"status", "reason", "reason_code", "due_at", "sent_at", "uncounted", "unknowns"}),
    ],
)
def test_a_move_sets_only_what_its_events_change(statement: str, columns: set[str]) -> None:
    """An UPDATE that names a column is taken to change it, and the indexes on it are tidied later."""
    (update,) = re.findall(r"UPDATE messages AS m\n    SET (.*?)\n    FROM decided", statement, re.DOTALL)

    assert set(re.findall(r"(\w+) = ", re.sub(r"CASE .*? END(?=,|$)", "CASE", update, flags=re.DOTALL))) == {
        "version",
        "updated_at",
        *columns,
    }


def test_events_of_one_statement_stand_in_the_log_as_they_were_placed(connection: Connection) -> None:
    messages = [notification() for _ in range(5)]
    accept(connection, messages)
    ids = [one.id for one in messages]

    rows = [decided(message, Expired(deliver_by=NOON), -place) for place, message in enumerate(ids)]
    fetch_column(connection, HAPPEN, {"decided": msgspec.json.encode(rows).decode()})

    query = "SELECT stream_id::text FROM outbox WHERE version = 2 ORDER BY position"
    assert fetch_column(connection, query) == [str(message) for message in reversed(ids)]
