"""What accept, claim and record cost: WAL, index insertions, bytes on disk, and the time of the statements.

Batches of 25 go through all three, one after the other, as in a window of the pipeline: what one move writes anew, the
next finds on the same pages. No relay runs beside it, and nothing is vacuumed.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http.client import HTTPConnection
from itertools import islice
from statistics import median
from typing import Any

from benchmarks.costs.bench import TIMEOUT, Bench, Inside, Measure, Reading, inside, post
from benchmarks.letters import letters
from benchmarks.machine import watched
from herald.outbox.postgres.driver import Connection
from tests.servers.postgres import PostgresServer, connect_to_tables

BATCH = 25
WAL = "SELECT pg_current_wal_insert_lsn()::text, pg_current_wal_flush_lsn()::text"
OF_USERS = """
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname NOT IN ('pg_catalog', 'information_schema')
"""
DISK = f"""
SELECT sum(pg_relation_size(c.oid)) FILTER (WHERE c.relkind = 'r')::float,
       sum(pg_relation_size(c.oid)) FILTER (WHERE c.relkind = 'i' AND n.nspname <> 'pg_toast')::float,
       sum(pg_relation_size(c.oid)) FILTER (WHERE c.relkind IN ('t', 'i') AND n.nspname = 'pg_toast')::float
{OF_USERS}
"""
INDEXES = f"""
SELECT (SELECT oid FROM pg_database WHERE datname = current_database()) || '/' || pg_relation_filenode(c.oid)
{OF_USERS} AND c.relkind = 'i'
"""
# A full leaf is split to take one: that is an insertion as well. Those of the levels above follow from splits.
INSERTION = re.compile(r"desc: (?:INSERT_LEAF|INSERT_POST|SPLIT_[LR] level: 0,).*?blkref #0: rel \d+/(\d+/\d+)")


@contextmanager
def prepare(bench: Bench) -> Iterator[Measure]:
    log = bench.small_log
    yield lambda: _measure(bench, log)


def _measure(bench: Bench, log: str) -> list[Reading]:
    stage, sizes = bench.stage, bench.sizes
    database = stage.database(template=log)
    settings = stage.settings(database)
    waiting = letters(BATCH + sizes.moved + sizes.alone, seed=2)
    with (
        _unvacuumed(stage.server),
        stage.api(settings) as port,
        closing(HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)) as api,
        inside(stage, settings) as side,
        closing(connect_to_tables(stage.server.url(database))) as looking,
    ):
        looking.autocommit = True
        Course(api, side, looking).move(islice(waiting, BATCH))  # everything is warm
        readings = [
            _together(Course(api, side, looking), stage.server, list(islice(waiting, sizes.moved))),
            _alone(Course(api, side, looking), list(waiting)),
        ]
    stage.drop(database)
    return readings


def _together(course: "Course", server: PostgresServer, accepted: list[tuple[str, bytes]]) -> Reading:
    server.execute("CHECKPOINT")
    before, (first, _) = _disk(course.looking), _row(course.looking, WAL)
    with watched() as span:
        course.move(accepted)
    (_, last), after = _row(course.looking, WAL), _disk(course.looking)
    insertions = count_insertions(server.read_wal(first, last, "--rmgr=Btree"), _indexes(course.looking))
    per_message = {
        "WAL per delivered message, bytes": sum(course.wal.values()),
        **{f"WAL per delivered message: {move}, bytes": written for move, written in course.wal.items()},
        "index insertions per delivered message": insertions,
        **{
            f"disk per delivered message: {what}, bytes": grown - earlier
            for what, earlier, grown in zip(("tables", "indexes", "TOAST"), before, after, strict=True)
        },
    }
    times = {f"{move} of {BATCH}, ms": 1000 * median(taken) for move, taken in course.seconds.items()}
    return Reading({name: figure / len(accepted) for name, figure in per_message.items()} | times, span.idle)


def _alone(course: "Course", accepted: list[tuple[str, bytes]]) -> Reading:
    with watched() as span:
        course.move_alone(accepted)
    times = {f"{move} of 1, ms": 1000 * median(taken) for move, taken in course.seconds.items()}
    return Reading(times, span.idle)


@dataclass
class Course:
    """Has messages accepted, claimed and recorded; `wal` in bytes, `seconds` of each statement."""

    api: HTTPConnection
    side: Inside
    looking: Connection
    wal: dict[str, int] = field(default_factory=lambda: {"accept": 0, "claim": 0, "record": 0})
    seconds: dict[str, list[float]] = field(default_factory=lambda: {"claim": [], "record": []})

    def move(self, accepted: Iterable[tuple[str, bytes]]) -> None:
        """So many at a time that a window of the pipeline is full."""
        one_by_one = iter(accepted)
        while batch := list(islice(one_by_one, BATCH)):
            start = self._place()
            ids = post(self.api, batch)
            start = self._note("accept", start)
            for move in self.seconds:
                self.seconds[move].append(self.side.call(move, ids))
                start = self._note(move, start)

    def move_alone(self, accepted: Iterable[tuple[str, bytes]]) -> None:
        """Each in transactions of its own."""
        for identity in post(self.api, list(accepted)):
            for move in self.seconds:
                self.seconds[move].append(self.side.call(move, [identity]))

    def _note(self, move: str, start: int) -> int:
        now = self._place()
        self.wal[move] += now - start
        return now

    def _place(self) -> int:
        return place(_row(self.looking, WAL)[0])


def place(lsn: str) -> int:
    """Bytes of WAL since the cluster began."""
    high, low = lsn.split("/")
    return int(high, 16) << 32 | int(low, 16)


def count_insertions(wal: Iterable[str], indexes: set[str]) -> int:
    """Entries that were put into leaves of these indexes (database/file), as pg_waldump tells it."""
    return sum(found[1] in indexes for line in wal if (found := INSERTION.search(line)))


@contextmanager
def _unvacuumed(server: PostgresServer) -> Iterator[None]:
    """Autovacuum would come in one round and not in the other."""
    server.set("autovacuum", "off")
    try:
        yield
    finally:
        server.set("autovacuum", "on")


def _indexes(connection: Connection) -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute(INDEXES)
        return {index for (index,) in cursor}


def _disk(connection: Connection) -> tuple[float, ...]:
    """Bytes of tables, of their indexes, and of TOAST with its indexes."""
    return tuple(size or 0.0 for size in _row(connection, DISK))


def _row(connection: Connection, query: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return cursor.fetchone()  # type: ignore[return-value]
