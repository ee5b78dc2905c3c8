"""A caller's transaction that stays open, and has sent, cancelled and used an idempotency key.

It may delay nobody: everybody else's messages are accepted, delivered and settled, and nobody waits for a lock. What
has to wait for it, a closing of the books and a migration, waits, names it, and comes through once it has ended.
"""

import json
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import NamedTuple
from urllib.request import Request, urlopen

from herald.outbox.postgres.driver import Connection, connect_plainly
from herald.outbox.postgres.statements import fetch, fetch_value
from herald.pipeline.testing.clock import VirtualClock
from tests.outbox.connections import connected
from tests.outbox.operate.doctor.findings import look
from tests.proof.callers.bench import NAME, TABLE, Calls, calling
from tests.proof.callers.lock_waits import LONGEST as LONGEST_WAIT
from tests.proof.callers.lock_waits import LockWaits, Wait
from tests.proof.callers.operations import Operations
from tests.proof.callers.stage import LOGIN, Stage
from tests.servers.child import Child
from tests.servers.eventually import eventually

LONGEST = 120.0  # seconds until what has to come comes, on a busy machine
DAYS = 3.0  # that pass
TURN = 1.0  # seconds between two requests over HTTP
KEY = '{"idempotency_key": "of the open one"}'
LATER = '{"deliver_at": "2027-06-01T00:00:00Z"}'
NOBODY_WAITS = (NAME, "herald-api", "herald-api-writer", "herald-relay", "herald-pipeline")
SEND = "SELECT herald.send('generic_topic', '{}', 'open', %s)::text"
_LEFT = "SELECT count(*) FROM messages WHERE status NOT IN ('sent', 'dead') AND id <> %s::uuid"
_NARROW = "SELECT count(*) FROM partitions WHERE ends_at < clock_timestamp() + interval '1 day'"
_WAITS_FOR = "SELECT coalesce(waits_for, '') FROM closing"
_CLOSED = "SELECT count(*) FROM closing WHERE closed_at IS NOT NULL"
_STATUSES = "SELECT status FROM messages WHERE id = ANY (%s::uuid[]) ORDER BY id"
_pause = Event()


class Open(NamedTuple):
    """A transaction, and its messages: the one that it took back, and those that it sent, one of them with a key."""

    connection: Connection
    cancelled: str
    sent: list[str]

    @property
    def who(self) -> str:
        return f"pid {self.connection.info.backend_pid} (nightly, {LOGIN}"


@dataclass
class Found:
    """The load before and beside it, requests over HTTP, the waits that were logged, who names it, what is wrong."""

    before: Calls
    beside: Calls
    posted: int
    waits: list[Wait]
    named: dict[str, str] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)

    def assert_clean(self, longest: float = LONGEST_WAIT) -> None:
        """In seconds; what has a lock may need longer for its work where the machine has no time for it."""
        wrong = [wait.shown() for wait in self.waits if wait.milliseconds > 1000 * longest] + self.wrong
        assert not wrong, "\n".join(wrong)


def stay_open(stage: Stage, clock: VirtualClock, folder: Path, *, seconds: float, rate: float) -> Found:
    """Herald keeps for a day what has ended: once the transaction is open, days pass, so that a closing is due."""
    stage.server.execute(TABLE.format(login=LOGIN))
    with _calling(stage, folder, seconds / 2, rate) as before:
        pass
    eventually(lambda: stage.server.ask(_NARROW), LONGEST, what="there is a partition that can be due")
    migrations = Operations(stage.database, folder)
    with _opened(stage, clock) as one:
        waits = LockWaits(stage.server)
        migration = migrations.migration("upgrade", "head")
        migration.start()
        migration.wait_for(one.who, LONGEST)
        posted = 0
        with _calling(stage, folder, seconds, rate) as beside:
            while beside.go_on:
                posted += _post(stage)
                _pause.wait(TURN)
        found = Found(before, beside, posted, [])
        _look_beside(stage, one, migration, found)
        found.waits = waits.of(NOBODY_WAITS)
        one.connection.commit()
    _look_afterwards(stage, one, migration, found)
    migrations.run("the way back", migrations.migration("downgrade", "-1"))
    return found


@contextmanager
def _opened(stage: Stage, clock: VirtualClock) -> Iterator[Open]:
    with closing(connect_plainly(stage.callers_url, application_name="nightly")) as connection:
        later = str(fetch_value(connection, SEND, LATER))
        connection.commit()
        sent = [str(fetch_value(connection, SEND, None))]
        clock.advance(days=DAYS)
        sent.append(str(fetch_value(connection, SEND, KEY)))
        assert fetch_value(connection, "SELECT herald.cancel(%s::uuid)", later)
        yield Open(connection, later, sent)


def _calling(stage: Stage, folder: Path, seconds: float, rate: float) -> AbstractContextManager[Calls]:
    return calling(stage.server, stage.callers_url, folder, rate=rate, seconds=seconds)


def _post(stage: Stage) -> int:
    """1; raises HTTPError where it is not accepted."""
    url = f"http://127.0.0.1:{stage.fleet.ports[0]}/messages"
    body = json.dumps({"topic": "generic_topic", "data": {}}).encode()
    with urlopen(Request(url, body, {"content-type": "application/json"}), timeout=LONGEST):
        return 1


def _look_beside(stage: Stage, one: Open, migration: Child, found: Found) -> None:
    """While it is open everything else is sent, and what waits for it says so."""
    with connected(stage.database) as connection:
        connection.autocommit = True
        eventually(lambda: not fetch_value(connection, _LEFT, one.cancelled), LONGEST, what="all others are sent")
        eventually(lambda: one.who in fetch_value(connection, _WAITS_FOR), LONGEST, what="the closing names it")
        found.named["closing"] = fetch_value(connection, _WAITS_FOR)
        if fetch_value(connection, _CLOSED):
            found.wrong.append("the books were closed")
    texts = [finding.text for finding in look(stage.database, "open transactions", patience=1.0)]
    found.named["doctor"] = next((text for text in texts if one.who in text), "")
    found.named["migration"] = migration.tail(1)
    if not migration.running:
        found.wrong.append("the migration did not wait")
    found.wrong += [f"{what} does not name it: {text}" for what, text in found.named.items() if one.who not in text]


def _look_afterwards(stage: Stage, one: Open, migration: Child, found: Found) -> None:
    """Once it has ended, its messages are sent or cancelled, and what waited comes through."""
    eventually(lambda: not migration.running, LONGEST, what="the migration is over")
    if migration.exit_code:
        found.wrong.append(migration.tail())
    with connected(stage.database) as connection:
        connection.autocommit = True
        eventually(lambda: fetch_value(connection, _CLOSED), LONGEST, what="the books are closed")
        wanted = [("cancelled",), ("sent",), ("sent",)]
        ids = [one.cancelled, *one.sent]
        eventually(lambda: fetch(connection, _STATUSES, ids) == wanted, LONGEST, what="its own are sent")
