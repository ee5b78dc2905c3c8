"""PgBouncer in transaction mode before each process in turn and before all, and in session mode before all.

Who is behind one in transaction mode has to refuse, and is then started directly. Wherever all can run, PostgreSQL is
killed in the middle of the requests, and whatever was accepted has to be in the log and sent: a session that several
processes got (with `synchronous_commit = off` of one for the commits of another) would show there.
"""

import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event
from typing import Literal
from uuid import uuid4

import httpx2

from herald.outbox.postgres.statements import fetch
from tests.conftest import migrate
from tests.outbox.connections import connected
from tests.proof.faults.fleet import ROLES, STARTED, Member
from tests.proof.faults.ledger import Entry, Ledger
from tests.proof.faults.oracle import Verdict
from tests.proof.faults.report import machine, paragraphs
from tests.proof.faults.scene import Scene
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.pgbouncer import PgBouncer
from tests.servers.postgres import PostgresServer

Mode = Literal["transaction", "session"]

EVERYBODY = (*ROLES, "migrate")
PLACES: tuple[tuple[tuple[str, ...], Mode], ...] = (
    (("api",), "transaction"),
    (("relay",), "transaction"),
    (("pipeline",), "transaction"),
    (("migrate",), "transaction"),
    (EVERYBODY, "transaction"),
    (EVERYBODY, "session"),
)
WORKS = "works"
REFUSES = "DATABASE_URL leads through a pooler in transaction mode"  # so begins what a process says that refuses
SESSIONS = 100  # of the pool
RATE = 80.0  # requests per second
DOWN = 2.0  # seconds until the server that was killed is started again
BESIDES = 60.0  # seconds until the requests are accepted, beside those that the rate takes
HEAD = (
    "| PgBouncer before | its mode | what they do | accepted | answer never came | sent | lost |\n"
    "|---|---|---|---|---|---|---|"
)
_SENT = "SELECT count(*) FROM messages WHERE status = 'sent' AND id = ANY (%s::uuid[])"
_TABLES = "SELECT count(*) FROM pg_tables WHERE schemaname IN ('herald', 'public')"

_pause = Event()


@dataclass(frozen=True)
class Row:
    """What each process behind the pool said, WORKS or a sentence, and what became of the requests meanwhile."""

    behind: tuple[str, ...]
    mode: Mode
    said: dict[str, str]
    entries: Sequence[Entry] = ()  # none where nothing can run
    sent: int = 0  # of those that were accepted

    def count(self, outcome: str) -> int:
        return sum(entry.outcome == outcome for entry in self.entries)

    @property
    def lost(self) -> int:
        return self.count("accepted") - self.sent

    @property
    def is_right(self) -> bool:
        """Behind a pool in transaction mode nobody works, in session mode everybody; what was accepted is sent."""
        expected = WORKS if self.mode == "session" else REFUSES
        return all(words.startswith(expected) for words in self.said.values()) and not self.lost


@dataclass
class Trial:
    """A fleet that runs directly, and a ledger that goes on from place to place; `posts` are accepted at each."""

    scene: Scene
    posts: int
    ledger: Ledger = field(default_factory=Ledger)
    verdict: Verdict = field(default_factory=Verdict)

    @property
    def server(self) -> PostgresServer:
        assert self.scene.server, "it must be the scene's own: it is killed"
        return self.scene.server

    def try_all(self) -> list[Row]:
        return [self._try_at(behind, mode) for behind, mode in PLACES]

    def _try_at(self, behind: tuple[str, ...], mode: Mode) -> Row:
        first = len(self.ledger.entries)
        with PgBouncer(self.scene.database, mode=mode, size=SESSIONS) as pool:
            if behind == EVERYBODY and mode == "transaction":
                return Row(behind, mode, self._put(pool, behind, mode))
            with self.scene.load(RATE, seed=first, ledger=self.ledger):
                said = self._put(pool, behind, mode)
                if mode == "transaction":
                    self._start_directly(behind)
                self._kill_amid()
            self.verdict = self.scene.judge(self.ledger)
        entries = self.ledger.entries[first:]
        return Row(behind, mode, said, entries, self._sent(entries))

    def _put(self, pool: PgBouncer, behind: tuple[str, ...], mode: Mode) -> dict[str, str]:
        """Start these anew, by way of the pool; returns what each says."""
        members = self._members(behind)
        for member in members:
            member.stop()
            member.tell(DATABASE_URL=pool.url)
            member.start()
        said = {member.role: self._outcome(member) for member in members}
        return said | ({"migrate": self._migrate(mode)} if "migrate" in behind else {})

    def _members(self, behind: tuple[str, ...]) -> list[Member]:
        return [member for member in self.scene.fleet.members.values() if member.role in behind]

    def _outcome(self, member: Member) -> str:
        eventually(lambda: not member.running or self._works(member), STARTED, what=f"{member.role} works or has ended")
        return WORKS if member.running else last_words(member)

    def _works(self, member: Member) -> bool:
        if member.role != "api":
            return member.is_ready
        try:  # it listens before it has found out
            answer = httpx2.get(f"http://127.0.0.1:{self.scene.fleet.ports[0]}/health/ready", timeout=STARTED)
        except httpx2.HTTPError:
            return False
        return answer.is_success

    def _migrate(self, mode: Mode) -> str:
        """An empty database; who refuses leaves it as it is, and can migrate it directly."""
        name = f"empty_{uuid4().hex}"
        self.server.execute(f"CREATE DATABASE {name}")
        with PgBouncer(self.server.url(name), mode=mode) as pool, tempfile.TemporaryDirectory() as folder:
            process = HeraldProcess("migrate", folder=Path(folder), settings={"DATABASE_URL": pool.url})
            process.start()
            eventually(lambda: not process.running, STARTED, what="the migration has ended")
            if process.exit_code == 0:
                return WORKS
            said = last_words(process)
        assert self.server.ask(_TABLES, name) == 0, "something was made all the same"
        migrate(self.server.url(name))
        return said

    def _start_directly(self, behind: tuple[str, ...]) -> None:
        """Those that have refused; who works all the same is taken from there, and is wrong in the report."""
        for member in self._members(behind):
            member.stop()
            member.tell(DATABASE_URL=self.scene.database)
        eventually(self.scene.fleet.is_ready, STARTED, what="every process is ready")

    def _kill_amid(self) -> None:
        """Half of the requests, `kill -9` of PostgreSQL, and the other half once it is back."""
        begun = self.ledger.accepted
        self._await_accepted(begun + self.posts // 2)
        self.server.kill()
        _pause.wait(DOWN)
        self.server.start()
        self._await_accepted(begun + self.posts)

    def _await_accepted(self, count: int) -> None:
        fleet, ledger = self.scene.fleet, self.ledger
        deadline = BESIDES + 3 * self.posts / RATE
        eventually(lambda: fleet.revive() and ledger.accepted >= count, deadline, what=f"{count} are accepted")

    def _sent(self, entries: Sequence[Entry]) -> int:
        ids = [entry.id for entry in entries if entry.outcome == "accepted"]
        with connected(self.scene.database) as connection:
            ((sent,),) = fetch(connection, _SENT, ids)
        return int(sent)


def last_words(process: Child) -> str:
    """Why it has ended, from the last line that it logged or wrote. Raises AssertionError where it was no refusal."""
    assert process.exit_code == 1, process.tail()
    line = process.tail(1)
    return str(json.loads(line)["reason"]) if line.startswith("{") else line


def describe(rows: Sequence[Row], verdict: Verdict, *, posts: int) -> str:
    """For the page."""
    head = f"{machine()}. At each place {RATE:g} requests per second, {posts:,} of them accepted with all at work."
    return paragraphs([head, "\n".join([HEAD, *map(_line, rows)]), verdict.in_words()])


def _line(row: Row) -> str:
    names: dict[str, list[str]] = {}
    for process, words in row.said.items():
        names.setdefault(words if words == WORKS else f"refuses, “{words}”", []).append(process)
    said = "; ".join(f"{', '.join(who)}: {words}" for words, who in names.items())
    place = "all" if row.behind == EVERYBODY else row.behind[0]
    figures = (row.count("accepted"), row.count("unknown"), row.sent, row.lost)
    cells = (place, row.mode, said, *(f"{figure:,}" if row.entries else "" for figure in figures))
    return f"| {' | '.join(cells)} |"
