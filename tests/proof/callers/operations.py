"""What takes a table's lock in Herald, each by its own code: a closing of the books, a cut, a rebuild, a migration."""

import os
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from threading import Event
from uuid import UUID

import msgspec

from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.statements import fetch_value
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.reader import Limits, read_page
from herald.outbox.scheduler.partitions import make_partitions
from herald.outbox.scheduler.retention import close_books
from tests.conftest import ROOT
from tests.outbox.connections import accepted, connected, notification
from tests.outbox.scheduler.simulated_clock import id_at, long_ago, shift
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess, herald_environment

RETENTION = 86_400.0  # seconds: partitions are six hours wide
WIDTH = timedelta(hours=6)
CUT = "SELECT outbox_cut_widest(interval '6 hours', %s, 100000000)"
TRIES, TURN = 20, 0.5  # seconds between two tries
TOGETHER = 100  # claimed in one statement
LONGEST = 300.0  # seconds that one may take on a busy machine
PARTITIONS = "SELECT count(*) FROM partitions WHERE parent = 'outbox'"
MIGRATION = '''"""A migration as others write them: a column, and a constraint that is not validated."""

from alembic import op

revision, down_revision, branch_labels, depends_on = "proof", "0001", None, None


def upgrade() -> None:
    op.execute("ALTER TABLE messages ADD COLUMN of_the_proof integer")
    op.execute("ALTER TABLE outbox ADD CONSTRAINT of_the_proof CHECK (version > 0) NOT VALID")


def downgrade() -> None:
    op.execute("ALTER TABLE outbox DROP CONSTRAINT of_the_proof")
    op.execute("ALTER TABLE messages DROP COLUMN of_the_proof")
'''

_pause = Event()


def make_past(database: str, *, partitions: int, messages: int) -> None:
    """So many messages in each partition of the past, all but a tenth of them sent, and all of them published."""
    with long_ago(database, -WIDTH * (partitions + 4), retention=RETENTION) as connection:
        for left in reversed(range(partitions)):
            make_partitions(connection, retention=RETENTION, at=read_clock(connection))
            at = read_clock(connection)
            made = [msgspec.structs.replace(notification(f"user {n}"), id=id_at(at)) for n in range(messages)]
            _send(connection, accepted(connection, *made)[messages // 10 :])
            shift(connection, -WIDTH * (left + 4))
        shift(connection, timedelta(0))
        make_partitions(connection, retention=RETENTION, at=read_clock(connection))
        _publish(connection)


def _send(connection: Connection, ids: Sequence[UUID]) -> None:
    for first in range(0, len(ids), TOGETHER):
        records = [Record(one, 1) for one in ids[first : first + TOGETHER]]
        won = claim(connection, records, lease=60)
        outcomes = [Outcome(id=one, attempt=how.attempt, outcome="sent") for one, how in won.items()]
        record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)


def _publish(connection: Connection) -> None:
    """What the relay does, without a Kafka."""
    cursor = cursors.load(connection)
    while (page := read_page(connection, cursor, Limits(1000))).rows or cursor.target is not None:
        cursor = cursors.save(connection, page.cursor)
    cursors.save(connection, page.cursor)


@dataclass
class Operations:
    """Each as often as it is called; `done` counts those that came through."""

    database: str
    folder: Path
    done: Counter[str] = field(default_factory=Counter)
    days: "count[int]" = field(default_factory=count)

    @property
    def all(self) -> tuple[Callable[[], None], ...]:
        return self.close, self.cut, self.rebuild, self.migrate

    def close(self) -> None:
        """The books, of whatever is due: four partitions at most."""
        self._again("a closing", self._closed)

    def cut(self) -> None:
        """A far partition, as if its time had come."""
        self._again("a cut", self._cut)

    def _again(self, what: str, comes: Callable[[Connection], bool]) -> None:
        """Until it comes through, for a while, as the relay does it."""
        with connected(self.database) as connection:
            connection.autocommit = True
            for _ in range(TRIES):
                if comes(connection):
                    self._note(what, came=True)
                    return
                _pause.wait(TURN)

    @staticmethod
    def _closed(connection: Connection) -> bool:
        before = fetch_value(connection, PARTITIONS)
        close_books(connection, retention=RETENTION, at=read_clock(connection))
        return bool(fetch_value(connection, PARTITIONS) < before)

    def _cut(self, connection: Connection) -> bool:
        at: datetime = read_clock(connection) + timedelta(days=next(self.days))
        try:
            return bool(fetch_value(connection, CUT, at))
        except errors.LockNotAvailable:
            return False

    def rebuild(self) -> None:
        """It gives up after fifty tries."""
        rebuild = HeraldProcess("rebuild", folder=self.folder, settings={"DATABASE_URL": self.database})
        rebuild.start()
        eventually(lambda: not rebuild.running, LONGEST, what="the rebuild is over")
        self._note("a rebuild", came=rebuild.exit_code == 0)

    def migrate(self) -> None:
        """There and back."""
        for direction in (("upgrade", "head"), ("downgrade", "-1")):
            self.run("a migration", self.migration(*direction))

    def migration(self, *direction: str) -> Child:
        """The process; not started."""
        versions = self.folder / "versions"
        versions.mkdir(exist_ok=True)
        (versions / "proof.py").write_text(MIGRATION, encoding="utf-8")
        ours = ROOT / "alembic"
        places = os.pathsep.join(map(str, (ours / "versions", versions)))
        (self.folder / "alembic.ini").write_text(
            f"[alembic]\nscript_location = {ours}\nversion_locations = {places}\npath_separator = os\n"
        )
        return Child(
            [sys.executable, "-m", "alembic", "-c", str(self.folder / "alembic.ini"), *direction],
            log=self.folder / "migration.log",
            env=herald_environment({"DATABASE_URL": self.database}),
            cwd=self.folder,
        )

    def run(self, what: str, process: Child) -> None:
        """Raises AssertionError where it fails."""
        process.start()
        eventually(lambda: not process.running, LONGEST, what=f"{what} is over")
        assert process.exit_code == 0, process.tail()
        self._note(what, came=True)

    def _note(self, what: str, *, came: bool) -> None:
        self.done[what] += came
