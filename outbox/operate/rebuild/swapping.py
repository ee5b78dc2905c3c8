"""The swap: under one lock, which is short or not taken at all.

Who holds `messages` in ACCESS EXCLUSIVE knows that no transaction has changed it and not ended; and every change of
it stands in the log by the same transaction. So the last look at the log sees everything that the live table has.

The lock is asked for with a timeout of 200 ms, since all who come later wait behind it. A vacuum of either
table would outlast that every time: it is asked to leave first, by locks that nobody else waits behind.

Nobody waits for the disk either: the commit is not flushed under the lock (it took most of that time). Whatever is
written afterwards is flushed with what lies before it, so a crash takes the swap back only where nothing followed
it. That is why the old table is only a leftover, dropped later: a commit that drops is always flushed.
"""

import time
from collections.abc import Mapping

import msgspec

from herald.outbox.operate.rebuild.building import IN_BOUNDS
from herald.outbox.operate.rebuild.catching_up import Step, catch_up, fold_changes
from herald.outbox.operate.rebuild.partitions import Pair
from herald.outbox.operate.rebuild.session import Session
from herald.outbox.postgres.driver import errors
from herald.outbox.postgres.statements import execute

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
_ALONE = "SET LOCAL lock_timeout = '200ms'; LOCK TABLE ONLY messages, ONLY {live} IN ACCESS EXCLUSIVE MODE"


class NeverLockedError(Exception):
    """Somebody holds `messages` for longer than the lock may be waited for."""


class Swap(msgspec.Struct, frozen=True):
    """How long the lock was held, in seconds, at which try it was had, and how many streams changed meanwhile."""

    seconds: float
    tries: int
    streams: int


def swap(session: Session, pair: Pair, previous: str, names: Mapping[str, str]) -> Swap:
    """Put the fresh table in the live one's place; each try is a transaction of its own. Raises NeverLockedError."""
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
    message = f"{pair.name}: no lock after {TRIES} tries, because a transaction that uses messages stays open"
    raise NeverLockedError(message)


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
