"""32 callers, while Herald closes its books, cuts partitions, rebuilds and migrates: who waited for a lock of it.

One caller more has long transactions: Herald has to wait for them, and whoever waits for a table's lock keeps all who
come later waiting as well.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread

from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.statements import fetch_value
from tests.proof.callers.bench import NAME, TABLE, Calls, calling
from tests.proof.callers.lock_waits import LONGEST, LockWaits, Wait
from tests.proof.callers.operations import Operations, make_past
from tests.proof.callers.stage import LOGIN
from tests.servers.postgres import PostgresServer

LOGIN_ROLE = "CREATE ROLE {login} LOGIN IN ROLE herald_sender"
LONG = 3.0  # seconds for which the long transactions are open, and until the next one
SLOW_SEND = "SELECT herald.send('generic_topic', '{}', 'slow')"


@dataclass(frozen=True)
class Found:
    """The calls alone and beside the operations, how many of each came through, and the waits that were logged."""

    rate: float
    alone: Calls
    beside: Calls
    done: Counter[str]
    waits: list[Wait]

    def assert_clean(self, longest: float = LONGEST) -> None:
        """In seconds; what has the lock may need longer for its work where the machine has no time for it."""
        long = [wait.shown() for wait in self.waits if wait.milliseconds > 1000 * longest]
        assert not long, "\n".join(long)
        missing = {"a closing", "a cut", "a rebuild", "a migration"} - {
            what for what, times in self.done.items() if times
        }
        assert not missing, missing


def call_beside_operations(
    server: PostgresServer, folder: Path, *, rate: float, seconds: float, messages: int, partitions: int
) -> Found:
    """On a server that logs waits, whose database `postgres` is migrated."""
    server.execute(LOGIN_ROLE.format(login=LOGIN))
    server.execute(TABLE.format(login=LOGIN))
    make_past(server.url(), partitions=partitions, messages=messages)
    url = server.url().replace("postgres@", f"{LOGIN}@", 1)
    with calling(server, url, folder, rate=rate, seconds=seconds / 4) as alone:
        pass
    operations = Operations(server.url(), folder)
    waits = LockWaits(server)
    with slow_caller(url), calling(server, url, folder, rate=rate, seconds=seconds) as beside:
        while beside.go_on:
            for operate in operations.all:
                operate()
    return Found(rate, alone, beside, operations.done, waits.of([NAME]))


@contextmanager
def slow_caller(url: str) -> Iterator[None]:
    """One whose transactions are long, again and again."""
    over = Event()
    thread = Thread(target=_send_slowly, args=(url, over), daemon=True)
    thread.start()
    yield
    over.set()
    thread.join()


def _send_slowly(url: str, over: Event) -> None:
    with closing(connect_plainly(url)) as connection:
        while not over.wait(LONG):
            fetch_value(connection, SLOW_SEND)
            over.wait(LONG)
            connection.commit()
