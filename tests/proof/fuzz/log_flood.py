"""Rows of every kind in the log beside good traffic: the relay passes them, and each is named or published."""

import re
import subprocess
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from time import monotonic

from herald.outbox.postgres.driver import Connection, DataError, IntegrityError, errors
from herald.outbox.postgres.statements import execute, fetch
from herald.outbox.registry import DEAD_LETTERS, TOPICS
from tests.outbox.connections import connected
from tests.pipeline.records import new_id
from tests.proof.end_to_end.topic import reading
from tests.proof.faults.court import DATABASE, Court
from tests.proof.faults.oracle import Verdict
from tests.proof.faults.report import machine, paragraphs, table
from tests.proof.fuzz.beside import Beside
from tests.proof.fuzz.rows import Row, Rower
from tests.proof.fuzz.values import Draw
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment
from tests.servers.postgres import connect_to_tables

RATE = 10.0  # good requests per second
AT_ONCE = 20  # rows between two looks whether good messages still pass
PASSED = 60.0  # seconds until a good message has to arrive
OVER = 120.0  # seconds
MANY = 20  # times that a row may be on Kafka: more is no restart of a relay
SHOWN = 20
AUDIT = ["audit", "--json", "--limit", "1000000", "--grace", "0", "--pending", "0"]
_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


@dataclass
class LogFlood:
    """What was written and what came of it; `passed` are the seconds until a good message came after some rows.

    `broken` is what processes and commands did that they should not, `wrong` are rows for which nothing accounts.
    """

    seed: int
    rows: list[Row] = field(default_factory=list)
    refused: int = 0
    passed: list[float] = field(default_factory=list)
    fates: Counter[str] = field(default_factory=Counter)
    broken: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    verdict: Verdict = field(default_factory=Verdict)

    def assert_clean(self) -> None:
        """Raises AssertionError that shows the smallest rows that went wrong."""
        wrong = [*self.broken, *sorted(self.wrong, key=len)[:SHOWN], *self.verdict.violations]
        assert not wrong, f"seed {self.seed}\n" + "\n".join(wrong)


def flood(court: Court, *, rows: int, seed: int) -> LogFlood:
    """Write so many that the log's constraints let in, and look for each of them."""
    found = LogFlood(seed)
    beside = Beside(court, found.broken)
    rower = Rower(Draw(seed), new_id)
    with ExitStack() as stack:
        stack.enter_context(beside.load(RATE, seed))
        connection = stack.enter_context(closing(connect_to_tables(court.scene.database)))
        connection.autocommit = True
        while len(found.rows) < rows:
            _write(connection, rower, found, min(AT_ONCE, rows - len(found.rows)))
            _await_passage(beside, found)
    strangers = {row.stream for row in found.rows}
    _await_over(beside, strangers, found)
    _account(court, found)
    found.verdict = beside.judge(strangers | beside.adopted())
    return found


def _write(connection: Connection, rower: Rower, found: LogFlood, count: int) -> None:
    written = len(found.rows) + count
    while len(found.rows) < written:
        row = rower.next()
        try:
            execute(connection, row.statement, *row.columns.values())
            found.rows.append(row)
        except (DataError, IntegrityError, errors.StatementTooComplex):
            found.refused += 1


def _await_passage(beside: Beside, found: LogFlood) -> None:
    """Until a good message arrives that was accepted after the last row."""
    began, court = monotonic(), beside.court
    sent, arrived = len(court.ledger.entries), len(court.scene.provider.arrivals)

    def passes() -> bool:
        beside.look()
        numbers = {entry.number for entry in court.ledger.entries[sent:] if entry.sent > began}
        return any(arrival.number in numbers for arrival in court.scene.provider.arrivals[arrived:])

    try:
        eventually(passes, PASSED, what="a good message arrives after the rows")
    except AssertionError:
        shown = [row.shown() for row in found.rows[-AT_ONCE:]]
        raise AssertionError("no good message passes these rows:\n" + "\n".join(shown)) from None
    found.passed.append(monotonic() - began)


def _await_over(beside: Beside, strangers: set[str], found: LogFlood) -> None:
    """Until every message is over that came by way of the API."""

    def is_over() -> bool:
        beside.look()
        with connected(beside.court.server.url(DATABASE)) as connection:
            left = {one for (one,) in fetch(connection, "SELECT id::text FROM messages WHERE status <> 'sent'")}
        left -= strangers | beside.adopted()
        assert not left, f"{len(left)} good messages are not over"
        return True

    try:
        eventually(is_over, OVER)
    except AssertionError as error:
        found.broken.append(str(error))


def _account(court: Court, found: LogFlood) -> None:
    """Each row is on Kafka as an ordinary record, or named by the audit or the doctor."""
    published, named = _read_published(court.kafka.bootstrap_servers), _named(court, found)
    for row in found.rows:
        if row.stream in named:
            found.fates["named"] += 1
        elif published[row.event]:
            found.fates["published"] += 1
        else:
            found.fates["WRONG"] += 1
            found.wrong.append(f"neither published nor named: {row.shown()}")
        if published[row.event] > MANY:
            found.wrong.append(f"published {published[row.event]} times: {row.shown()}")


def _read_published(bootstrap_servers: str) -> Counter[str]:
    """How often each event is on a topic."""
    published: Counter[str] = Counter()
    for topic in (*TOPICS, DEAD_LETTERS):
        with reading(bootstrap_servers, topic) as reader:
            for record in reader.read():
                headers = dict(record.headers() or [])
                if isinstance(event := headers.get("ce_id"), bytes):
                    published[event.decode()] += 1
    return published


def _named(court: Court, found: LogFlood) -> set[str]:
    """Every message that audit or doctor speak of; neither may break."""
    named: set[str] = set()
    for command in (AUDIT, ["doctor", "--json"]):
        herald = [str(court.scene.fleet.members["api-1"].command[0]), "-m", "herald.outbox.cli", *command]
        environment = herald_environment(court.scene.fleet.settings)
        done = subprocess.run(herald, env=environment, cwd=court.folder, capture_output=True, text=True, check=False)
        if done.returncode not in {0, 1} or "Traceback" in done.stderr:
            found.broken.append(f"herald {command[0]} ended with {done.returncode}: {done.stderr[-2000:]}")
        named |= set(_ID.findall(done.stdout))
    return named


def describe(found: LogFlood) -> str:
    """For the page."""
    where = machine().replace("fsync on", "fsync off")
    head = f"{where}. Seed {found.seed}; {RATE:g} good requests per second beside them."
    figures = {
        "rows that the log let in": len(found.rows),
        "rows that its constraints refused": found.refused,
        "published as ordinary records": found.fates["published"],
        "named by `herald audit` or `herald doctor`": found.fates["named"],
        "**neither**": found.fates["WRONG"],
        f"longest time until a good message arrived after {AT_ONCE} rows": f"{max(found.passed):.1f} s",
        "good messages accepted": found.verdict.figures["accepted"],
        "of them lost": found.verdict.figures["lost"],
    }
    return paragraphs([head, table(("", "number"), figures), found.verdict.in_words()])
