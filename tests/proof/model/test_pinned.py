"""The model's statements are Herald's: the same drawn sequences against both, compared after every step."""

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any
from uuid import UUID

import msgspec
import pytest
from uuid_utils.compat import uuid7

from herald.outbox.destination.policies import policy
from herald.outbox.message.events import Event
from herald.outbox.message.state import COLUMNS as OF_MESSAGE
from herald.outbox.message.state import Message
from herald.outbox.moves.accept import Acceptance, accept
from herald.outbox.moves.adopt import Foreign, Lost, adopt, recover, unknown
from herald.outbox.moves.cancel import cancel
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.decide import Edit, discard, requeue
from herald.outbox.moves.expire import expire
from herald.outbox.moves.hold import hold
from herald.outbox.moves.record import Kind, Outcome, record_outcomes
from herald.outbox.moves.request_again import Choice, pending_that, request_again
from herald.outbox.moves.settle import settle_leases
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import read_log
from herald.outbox.postgres.statements import execute, fetch
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.scheduler.due import request_due
from herald.outbox.scheduler.lines import Lines
from tests.outbox.connections import COLUMNS, change, connected, make_settings
from tests.proof.model import statements
from tests.proof.model.postgres import Database, Transaction
from tests.proof.model.statements import BEGINNING, Draft, Found, date

SEQUENCES, LENGTH = 6, 60
LEASE = 1_000.0  # seconds: no date of one comes near while the test runs, unless time is made to pass
STEP = 1_500.0  # seconds that pass at once
TOLERANCE = timedelta(seconds=200)  # between the two clocks, on a machine that is busy
KINDS: tuple[Kind, ...] = ("sent", "failed", "unknown", "postponed", "dead")
DESTINATIONS = (None, "log", "email:example.org", "webhook:example.org")
# The relay's cursor is behind everything.
PASSED = """
INSERT INTO relay_cursor (name, previous, last_position, floor, epoch, system_identifier, timeline)
VALUES ('relay', '1:1:', 0, 1000000, 1, '', 1) ON CONFLICT DO NOTHING
"""
NOT_COMPARED = {"requested_in"}  # transaction ids; the model gives out its own


class Both:
    """The real tables and the modelled ones, moved together."""

    def __init__(self, connection: Connection, url: str, seed: int) -> None:
        self.connection, self.database, self.random = connection, Database(), Random(seed)  # noqa: S311 - repeatable
        self.settings = make_settings(url, channels={"webhook": {"unknown": "hold"}}, max_attempts=3)
        self.ids: list[UUID] = []
        self.steps: list[str] = []

    @property
    def at(self) -> float:
        now = read_clock(self.connection)
        return float((now - BEGINNING).total_seconds())

    def do(self, model: Callable[[Any, float], Any]) -> Any:
        """The model's part, in a transaction of its own."""
        session = self.database.connect()
        result = model(session.begin(), self.at)
        session.commit()
        session.end()
        return result

    def step(self) -> None:
        name, act = self.random.choice(STEPS)
        self.steps.append(name)
        act(self)
        self.connection.commit()

    def some(self) -> list[UUID]:
        return self.random.sample(self.ids, min(len(self.ids), self.random.randint(1, 4)))

    def state(self, message: UUID) -> Message:
        return self.database.state.messages[message]

    def compare(self) -> None:
        projected = {UUID(row[0]): row for row in fetch(self.connection, f"SELECT {COLUMNS} FROM messages")}
        logged: dict[UUID, list[Event]] = {}
        for recorded in read_log(self.connection):
            logged.setdefault(recorded.stream_id, []).append(recorded.event)
        self.connection.commit()
        assert projected.keys() == self.database.state.messages.keys(), self.steps
        for message, row in projected.items():
            real = dict(zip(OF_MESSAGE, row, strict=True))
            model = {**msgspec.structs.asdict(self.state(message)), "id": str(message)}
            modelled = [row.event for row in self.database.state.rows if row.stream == message]
            assert _is_same(real, model), f"{self.steps}\n{real}\n{model}"
            assert _is_same(logged[message], modelled), f"{self.steps}\n{logged[message]}\n{modelled}"
        published = fetch(self.connection, "SELECT stream_id::text, version FROM outbox WHERE topic IS NOT NULL")
        here = {(str(row.stream), row.version) for row in self.database.state.rows if row.topic is not None}
        assert set(published) == here, self.steps


def _is_same(real: Any, model: Any) -> bool:  # noqa: PLR0911 - one for each kind of value
    if isinstance(real, msgspec.Raw):  # empty where a request names the event that has the data
        return not bytes(real) or _is_same(msgspec.json.decode(real), model)
    if isinstance(real, datetime) and isinstance(model, datetime):
        return abs(real - model) < TOLERANCE
    if isinstance(real, list) and isinstance(model, list):
        return len(real) == len(model) and all(map(_is_same, real, model))
    if isinstance(real, Event):
        return type(real) is type(model) and _is_same(msgspec.structs.asdict(real), msgspec.structs.asdict(model))
    if isinstance(real, dict) and "id" in real:
        return all(name in NOT_COMPARED or _is_same(real[name], model[name]) for name in real)
    if isinstance(real, dict) and isinstance(model, dict):
        return real.keys() == model.keys() and all(_is_same(real[name], model[name]) for name in real)
    return bool(real == model)


def _accept(both: Both) -> None:
    drafts = []
    for _ in range(both.random.randint(1, 3)):
        later, last = (both.random.choice((None, None, both.at + seconds)) for seconds in (STEP, 3 * STEP))
        drafts.append(Draft(uuid7(), "generic_topic", both.random.choice(("a", None)), {"n": 1}, later, last))
    accept(both.connection, [_acceptance(draft) for draft in drafts])
    both.do(lambda transaction, at: statements.accept(transaction, at, drafts))
    both.ids += [draft.id for draft in drafts]


def _acceptance(draft: Draft) -> Acceptance:
    first, last = (None if at is None else date(at) for at in (draft.deliver_at, draft.deliver_by))
    data = msgspec.Raw(msgspec.json.encode(draft.data))
    return Acceptance(draft.id, draft.topic, draft.key, data, deliver_at=first, deliver_by=last)


def _claim(both: Both) -> None:
    records = [
        Record(message, max(both.state(message).request - both.random.choice((0, 0, 0, 1)), 1), _destination(both))
        for message in both.some()
    ]
    won = claim(both.connection, records, lease=LEASE)
    assert won == both.do(lambda transaction, at: statements.claim(transaction, at, records, lease=LEASE)), both.steps


def _destination(both: Both) -> str | None:
    return both.random.choice(DESTINATIONS)


def _record(both: Both) -> None:
    outcomes = []
    for message in both.some():
        kind, wait = both.random.choice(KINDS), both.random.choice((0.0, STEP / 2))
        attempt = max(both.state(message).attempts - both.random.choice((0, 0, 0, 1)), 0)
        reason = None if kind == "sent" else "why"
        retry = {"failed": wait, "postponed": wait, "unknown": both.random.choice((None, wait))}.get(kind)
        outcomes.append(Outcome(id=message, attempt=attempt, outcome=kind, reason=reason, retry_in=retry))
    record_outcomes(both.connection, outcomes, dead_letters=DEAD_LETTERS)
    both.do(lambda transaction, at: statements.record_outcomes(transaction, at, outcomes))


def _settle(both: Both) -> None:
    settle_leases(both.connection, both.settings)
    policies = {name: policy(both.settings, name and name.partition(":")[0]) for name in DESTINATIONS}
    both.do(lambda transaction, at: statements.settle_leases(transaction, at, policies.__getitem__))


def _request_due(both: Both) -> None:
    count = request_due(both.connection, both.settings)
    assert both.do(statements.request_due) == count, both.steps


def _hold(both: Both) -> None:
    messages = both.some()
    held = hold(both.connection, [str(message) for message in messages], [True] * len(messages))
    same = both.do(lambda transaction, at: statements.hold(transaction, at, messages))
    assert held == set(map(str, same)), both.steps


def _request_next(both: Both) -> None:
    execute(both.connection, PASSED)
    count = Lines().request_next(both.connection, both.settings)
    assert both.do(statements.request_next) == count, both.steps


def _request_lost(both: Both) -> None:
    again = request_again(both.connection, Choice(pending_that("true"), {}, "'lost'"), limit=1000)
    count = both.do(
        lambda transaction, at: statements.request_again(transaction, at, lambda one: one.status == "pending", "lost")
    )
    assert count == len(again), both.steps


def _expire(both: Both) -> None:
    expire(both.connection)
    both.do(statements.expire)


def _cancel(both: Both) -> None:
    for message in both.some():
        standing = cancel(both.connection, message)
        status = both.do(partial(_model_cancel, message))
        assert standing is not None
        assert standing.status == status, both.steps


def _model_cancel(message: UUID, transaction: Transaction, at: float) -> str | None:
    return statements.cancel(transaction, at, message)


def _requeue(both: Both) -> None:
    for message in both.some():
        edit = both.random.choice((None, {"n": 2}))
        key = both.state(message).key
        given = None if edit is None else Edit(msgspec.Raw(msgspec.json.encode(edit)), key)
        done = requeue(both.connection, [message], edit=given)
        same = both.do(partial(_model_requeue, message, edit))
        assert bool(done) is same, both.steps


def _model_requeue(message: UUID, edit: Any, transaction: Transaction, at: float) -> bool:
    return statements.requeue(transaction, at, message, edit=edit)


def _discard(both: Both) -> None:
    message = both.random.choice(both.ids)
    done = discard(both.connection, [message], reason="given up")
    same = both.do(lambda transaction, at: statements.discard(transaction, at, message, reason="given up"))
    assert bool(done) is same, both.steps


def _adopt(both: Both) -> None:
    stream = both.random.choice((uuid7(), both.random.choice(both.ids)))
    raw = msgspec.Raw(b'{"n":3}')
    adopt(both.connection, [Foreign(id=stream, topic="generic_topic", key="a", data=raw, source="/other")])
    found = Found(stream, "generic_topic", "a", {"n": 3}, "/other")
    both.do(lambda transaction, at: statements.adopt(transaction, at, [found]))
    both.ids = sorted({*both.ids, stream})


def _recover(both: Both) -> None:
    stream = both.random.choice((uuid7(), both.random.choice(both.ids)))
    raw = msgspec.Raw(b'{"n":4}')
    missing = unknown(both.connection, [stream])
    recover(both.connection, [Lost(id=stream, version=3, topic="generic_topic", key="a", data=raw, request=2)])
    found = Found(stream, "generic_topic", "a", {"n": 4}, version=3, request=2)
    assert both.do(lambda transaction, _at: statements.unknown(transaction, [stream])) == missing
    both.do(lambda transaction, at: statements.recover(transaction, at, [found]))
    both.ids = sorted({*both.ids, stream})


def _pass_time(both: Both) -> None:
    """Dates move back instead of the clock forward."""
    statement = "UPDATE messages SET due_at = due_at - %s, deliver_by = deliver_by - %s"
    step = timedelta(seconds=STEP)
    change(both.connection, statement, step, step)
    for message, state in both.database.state.messages.items():
        moved = {name: at and at - step for name, at in (("due_at", state.due_at), ("deliver_by", state.deliver_by))}
        both.database.state.messages[message] = msgspec.structs.replace(state, **moved)


STEPS: tuple[tuple[str, Callable[[Both], None]], ...] = (
    ("accept", _accept),
    ("claim", _claim),
    ("claim", _claim),
    ("claim", _claim),
    ("record", _record),
    ("record", _record),
    ("settle", _settle),
    ("request due", _request_due),
    ("hold", _hold),
    ("request next", _request_next),
    ("request lost", _request_lost),
    ("expire", _expire),
    ("cancel", _cancel),
    ("requeue", _requeue),
    ("discard", _discard),
    ("adopt", _adopt),
    ("recover", _recover),
    ("pass time", _pass_time),
)


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        yield connection


@pytest.mark.parametrize("seed", range(SEQUENCES))
def test_the_models_statements_do_what_the_real_ones_do(connection: Connection, database: str, seed: int) -> None:
    both = Both(connection, database, seed)
    _accept(both)

    for _ in range(LENGTH):
        both.step()
        both.compare()
