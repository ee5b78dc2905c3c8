"""One partition from its log to its swap, and the comparison alone: what is wrong with the projection."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

import msgspec

from herald.outbox.message.state import COLUMNS
from herald.outbox.operate.rebuild.building import begin_snapshot, fill, make_indexes, make_table
from herald.outbox.operate.rebuild.partitions import Pair, remove_leftovers
from herald.outbox.operate.rebuild.session import Session
from herald.outbox.operate.rebuild.swapping import Step, Swap, catch_up, fold_changes, swap
from herald.outbox.operate.shown import Steps
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import execute, fetch, fetch_column, fetch_value

SHOWN = 10  # ids of each kind of difference

# Rows are compared byte by byte, and as text where those differ: 1.0 and 1.00 are equal for jsonb, and not the same.
_DIFFERENCES = """
WITH differing AS (
    SELECT coalesce(f.id, l.id) AS id,
           CASE WHEN l.id IS NULL THEN 'missing' WHEN f.id IS NULL THEN 'unknown' ELSE 'different' END AS kind,
           CASE WHEN f.id = l.id THEN concat_ws(', ', {named}) ELSE '' END AS columns
    FROM {fresh} AS f FULL JOIN {live} AS l ON l.id = f.id
    WHERE f.id IS NULL OR l.id IS NULL OR f *<> l AND f::text <> l::text
)
SELECT kind, columns, count(*), (array_agg(id::text ORDER BY id))[1:{shown}]
FROM differing GROUP BY kind, columns ORDER BY kind, columns
"""
TOGETHER = 1_000  # messages put into other queues in one transaction
_TOLD = {"missing": "missing from messages", "unknown": "not in the log", "different": "different in"}


class Difference(msgspec.Struct, frozen=True):
    """Messages that are wrong in the same way, and the first ids of them."""

    kind: Literal["missing", "unknown", "different"]
    columns: str
    messages: int
    ids: list[str]

    def __str__(self) -> str:
        shown = ", ".join(self.ids) + (", …" if self.messages > len(self.ids) else "")
        return f"{self.messages:,} {_TOLD[self.kind]} {self.columns}".rstrip() + f": {shown}"


class Rebuilt(msgspec.Struct, frozen=True, kw_only=True):
    """What became of one partition; times in seconds. `swap` is null where only the comparison was asked for."""

    partition: str
    messages: int
    differences: list[Difference]
    seconds: float
    folding_seconds: float
    swap: Swap | None = None


def check_partition(session: Session, pair: Pair, steps: Steps) -> Rebuilt:
    """Compare with a temporary table, in one snapshot; changes nothing."""
    began = time.monotonic()
    _, shared, rows = begin_snapshot(session, pair)
    execute(session.writer, "BEGIN ISOLATION LEVEL REPEATABLE READ")
    execute(session.writer, "SET TRANSACTION SNAPSHOT %s", shared)
    execute(session.writer, f"CREATE TEMPORARY TABLE folded (LIKE {pair.live} INCLUDING CONSTRAINTS) ON COMMIT DROP")
    show = steps(f"{pair.name}: folding the log", total=rows)
    messages = fill(session, pair, "folded", show)
    folded = time.monotonic()
    execute(session.writer, "ANALYZE folded")
    steps(f"{pair.name}: comparing")
    differences = compare(session.writer, "folded", pair.live)
    execute(session.writer, "ROLLBACK")
    return Rebuilt(
        partition=pair.name,
        messages=messages,
        differences=differences,
        seconds=time.monotonic() - began,
        folding_seconds=folded - began,
    )


def rebuild_partition(session: Session, pair: Pair, steps: Steps) -> Rebuilt:
    """Build, catch up, compare, swap. Raises what ends a rebuild; nothing is changed then."""
    with _tidied(session):
        began = time.monotonic()
        steps(f"{pair.name}: an index on the log for the time being")
        # before the snapshot: it waits for every transaction that is older; it comes into its table's schema
        index = pair.log_index.rpartition(".")[2]
        execute(session.writer, f"CREATE INDEX CONCURRENTLY {index} ON {pair.log} (transaction_id)")
        snapshot, messages, folding_seconds = _fold(session, pair, steps)
        steps(f"{pair.name}: making indexes")
        names = make_indexes(session, pair)
        steps(f"{pair.name}: catching up")
        step = catch_up(session, pair, snapshot)
        steps(f"{pair.name}: comparing")
        step, differences = _compare(session, pair, step.snapshot)
        steps(f"{pair.name}: swapping")
        step = catch_up(session, pair, step.snapshot)
        swapped = swap(session, pair, step.snapshot, names)
    return Rebuilt(
        partition=pair.name,
        messages=messages,
        differences=differences,
        seconds=time.monotonic() - began,
        folding_seconds=folding_seconds,
        swap=swapped,
    )


def mend_queues(session: Session, *, is_check: bool) -> int:
    """Put messages where they belong by their rows, unless it is to be told only; returns how many stood wrong."""
    if is_check:
        return int(fetch_value(session.writer, "SELECT count(DISTINCT id) FROM queue_differences"))
    wrong = fetch_column(session.writer, "SELECT DISTINCT id::text FROM queue_differences")
    for first in range(0, len(wrong), TOGETHER):
        session.check()
        execute(session.writer, "SELECT queues_follow(%s::uuid[])", wrong[first : first + TOGETHER])
    return len(wrong)


def _fold(session: Session, pair: Pair, steps: Steps) -> tuple[str, int, float]:
    began = time.monotonic()
    snapshot, _, rows = begin_snapshot(session, pair)
    show = steps(f"{pair.name}: folding the log", total=rows)
    execute(session.writer, "BEGIN")
    make_table(session.writer, pair)
    # frozen, which a table made in the same transaction may be: nothing has to be written again by a vacuum
    messages = fill(session, pair, pair.fresh, show, options="WITH (FREEZE)")
    execute(session.writer, "COMMIT")
    return snapshot, messages, time.monotonic() - began


def _compare(session: Session, pair: Pair, previous: str) -> tuple[Step, list[Difference]]:
    """Both tables in one snapshot, after a last look at the log in the same one."""
    session.check()
    execute(session.writer, "BEGIN ISOLATION LEVEL REPEATABLE READ")
    step = fold_changes(session.writer, pair, previous)
    execute(session.writer, "SET LOCAL enable_seqscan = on")
    differences = compare(session.writer, pair.fresh, pair.live)
    execute(session.writer, "COMMIT")
    return step, differences


@contextmanager
def _tidied(session: Session) -> Iterator[None]:
    """Whatever happens, nothing is left behind; where the connection is lost, the next rebuild sees to that."""
    try:
        yield
    finally:
        session.is_cleaning.set()
        with suppress(PostgresError):
            session.reader.rollback()
        with suppress(PostgresError):
            execute(session.writer, "ROLLBACK")
            remove_leftovers(session.writer)
        session.is_cleaning.clear()


def compare(connection: Connection, fresh: str, live: str) -> list[Difference]:
    """What differs, in the caller's snapshot."""
    named = ", ".join(f"CASE WHEN f.{c}::text IS DISTINCT FROM l.{c}::text THEN '{c}' END" for c in COLUMNS)
    return fetch(connection, _DIFFERENCES.format(fresh=fresh, live=live, named=named, shown=SHOWN), into=Difference)
