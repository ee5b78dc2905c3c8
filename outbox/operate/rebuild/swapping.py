"""Catching up with what changed meanwhile, and the swap: under one lock, which is short or not taken at all.

What changed between two snapshots is folded again, whole streams at a time. The same idea as the relay's reader: a
transaction that was in progress in the previous snapshot, or begun after it, and is visible now. Folding a stream
twice does no harm, so whatever a later look sees as well is only repeated.

Who holds `messages` in ACCESS EXCLUSIVE knows that no transaction has changed it and not ended; and every change of
it stands in the log by the same transaction. So the last look at the log sees everything that the live table has.

The lock is asked for with a timeout of 50 ms, since all who come later wait behind it. A vacuum of either
table would outlast that every time: it is asked to leave first, by locks that nobody else waits behind.

Nobody waits for the disk either: the commit is not flushed under the lock (it took most of that time). Whatever is
written afterwards is flushed with what lies before it, so a crash takes the swap back only where nothing followed
it. That is why the old table is only a leftover, dropped later: a commit that drops is always flushed.
"""

import time
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import msgspec

from herald.outbox.message.state import COLUMNS
from herald.outbox.operate.rebuild.building import IN_BOUNDS, copy, fold_streams
from herald.outbox.operate.rebuild.partitions import Pair
from herald.outbox.operate.rebuild.session import RefusedError, Session
from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.holders import holder
from herald.outbox.postgres.log import LOG_COLUMNS
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

TRIES = 50
PAUSE = 0.5  # seconds between two tries
_LIMITS = (
    "SET LOCAL statement_timeout = '10s'; SET LOCAL idle_in_transaction_session_timeout = '2s';"
    " SET LOCAL synchronous_commit = off"
)
_NO_VACUUM = (
    "SET LOCAL lock_timeout = '8s'; LOCK TABLE ONLY {live} IN SHARE UPDATE EXCLUSIVE MODE;"
    " LOCK TABLE ONLY {fresh} IN ACCESS EXCLUSIVE MODE"
)
_ALONE = "SET LOCAL lock_timeout = '50ms'; LOCK TABLE ONLY messages, ONLY {live} IN ACCESS EXCLUSIVE MODE"


class Step(NamedTuple):
    """The snapshot up to which the table is right, and how many streams had changed."""

    snapshot: str
    streams: int


class Swap(msgspec.Struct, frozen=True):
    """How long the lock was held, in seconds, at which try it was had, and how many streams changed meanwhile."""

    seconds: float
    tries: int
    streams: int


def catch_up(session: Session, pair: Pair, previous: str) -> Step:
    """Round after round, each a transaction, until few streams are left. Raises RefusedError."""
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
    raise RefusedError(message)


def fold_changes(connection: Connection, pair: Pair, previous: str) -> Step:
    """One round, in the caller's transaction."""
    execute(connection, _PLAN)
    snapshot, streams = fetch_one(connection, _CHANGED.format(log=pair.log), {"previous": previous})
    for first in range(0, len(streams), STREAMS):
        _fold_again(connection, pair, streams[first : first + STREAMS])
    return Step(snapshot, len(streams))


def _fold_again(connection: Connection, pair: Pair, streams: Sequence[str]) -> None:
    query = f"SELECT {LOG_COLUMNS} FROM {pair.log} WHERE stream_id = ANY (%s::uuid[]) ORDER BY stream_id, version"
    messages = list(fold_streams(fetch(connection, query, streams)))
    execute(connection, f"DELETE FROM {pair.fresh} WHERE id = ANY (%s::uuid[])", streams)
    copy(connection, f"COPY {pair.fresh} ({', '.join(COLUMNS)}) FROM STDIN", iter(messages))


def swap(session: Session, pair: Pair, previous: str, names: Mapping[str, str]) -> Swap:
    """Put the fresh table in the live one's place; each try is a transaction of its own. Raises RefusedError."""
    step = Step(previous, 0)
    changed = 0
    for number in range(1, TRIES + 1):
        session.check()
        try:
            seconds, last = _try(session, pair, step.snapshot, names)
        except errors.LockNotAvailable:
            execute(session.writer, "ROLLBACK")
            session.wait(PAUSE)
            step = catch_up(session, pair, step.snapshot)
            changed += step.streams
            continue
        return Swap(seconds, number, changed + last)
    message = f"{pair.name}: no lock after {TRIES} tries, because of {holder(session.writer)}"
    raise RefusedError(message)


def _try(session: Session, pair: Pair, previous: str, names: Mapping[str, str]) -> tuple[float, int]:
    execute(session.writer, f"BEGIN; {_LIMITS}")
    execute(session.writer, _NO_VACUUM.format(live=pair.live, fresh=pair.fresh))
    execute(session.writer, _ALONE.format(live=pair.live))
    began = time.monotonic()
    step = fold_changes(session.writer, pair, previous)
    execute(
        session.writer,
        f"ALTER TABLE messages DETACH PARTITION {pair.live};"
        f" ALTER TABLE {pair.live} RENAME TO {pair.old.removeprefix(_schema(pair))};"
        + "".join(_renamed(pair, name, f"{made}_old") for made, name in names.items())
        + f" ALTER TABLE {pair.fresh} RENAME TO {pair.name};"
        + "".join(_renamed(pair, made, name) for made, name in names.items())
        + f" ALTER TABLE messages ATTACH PARTITION {pair.live} {pair.bounds};"
        f" ALTER TABLE {pair.live} DROP CONSTRAINT {IN_BOUNDS}",
    )
    execute(session.writer, "COMMIT")
    return time.monotonic() - began, step.streams


def _renamed(pair: Pair, index: str, name: str) -> str:
    return f" ALTER INDEX {_schema(pair)}{index} RENAME TO {name};"


def _schema(pair: Pair) -> str:
    """With the point behind it."""
    return pair.live.removesuffix(pair.name)
