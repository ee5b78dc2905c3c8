"""What changed between two snapshots is folded again, whole streams at a time.

The same idea as the relay's reader: a transaction that was in progress in the previous snapshot, or begun after
it, and is visible now. Folding a stream twice does no harm, so whatever a later look sees as well is only repeated.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from herald.outbox.operate.rebuild.building import copy, fold_streams
from herald.outbox.operate.rebuild.partitions import COLUMNS, Pair
from herald.outbox.operate.rebuild.session import Session
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import COLUMNS as LOG_COLUMNS
from herald.outbox.postgres.statements import execute, fetch, fetch_one

STREAMS = 2_000  # folded again at once
FEW = 500  # streams that may be left for the lock: 20 ms
MANY = 5_000  # streams: above it the writers are faster than the folding
ROUNDS = 20

_PLAN = "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off"

# One statement, so that the snapshot it reports is the one it reads by.
_CHANGED = """
SELECT pg_current_snapshot()::text, ARRAY(
    SELECT DISTINCT stream_id::text FROM (
        SELECT stream_id FROM {log} WHERE transaction_id >= pg_snapshot_xmax(%(previous)s::pg_snapshot)
        UNION ALL
        SELECT stream_id FROM {log}
        WHERE transaction_id = ANY (ARRAY(SELECT pg_snapshot_xip(%(previous)s::pg_snapshot)))
    ) AS changed
)
"""


class NeverCaughtUpError(Exception):
    """More is written than can be folded."""


class Step(NamedTuple):
    """The snapshot up to which the table is right, and how many streams had changed."""

    snapshot: str
    streams: int


def catch_up(session: Session, pair: Pair, previous: str) -> Step:
    """Round after round, each a transaction, until few streams are left. Raises NeverCaughtUpError."""
    step, changed = Step(previous, MANY), 0
    for _ in range(ROUNDS):
        session.check()
        execute(session.writer, "BEGIN")
        step = fold_changes(session.writer, pair, step.snapshot)
        execute(session.writer, "COMMIT")
        changed += step.streams
        if step.streams <= FEW:
            return Step(step.snapshot, changed)
    if step.streams <= MANY:
        return Step(step.snapshot, changed)
    message = f"{pair.name}: after {ROUNDS} rounds there are still {step.streams} changed messages in each"
    raise NeverCaughtUpError(message)


def fold_changes(connection: Connection, pair: Pair, previous: str) -> Step:
    """One round, in the caller's transaction."""
    execute(connection, _PLAN)
    snapshot, streams = fetch_one(connection, _CHANGED.format(log=pair.log), {"previous": previous})
    for some in _in_parts(streams):
        _fold_again(connection, pair, some)
    return Step(snapshot, len(streams))


def _fold_again(connection: Connection, pair: Pair, streams: Sequence[str]) -> None:
    query = f"SELECT {LOG_COLUMNS} FROM {pair.log} WHERE stream_id = ANY (%s::uuid[]) ORDER BY stream_id, version"
    messages = list(fold_streams(fetch(connection, query, streams)))
    execute(connection, f"DELETE FROM {pair.fresh} WHERE id = ANY (%s::uuid[])", streams)
    copy(connection, f"COPY {pair.fresh} ({', '.join(COLUMNS)}) FROM STDIN", iter(messages))


def _in_parts(streams: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(streams), STREAMS):
        yield streams[first : first + STREAMS]
