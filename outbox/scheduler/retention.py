"""Retention: what has ended leaves after a time, by whole partitions; everything else is carried over.

Closing the books replaces the partitions that are due by one new lowest partition, which holds what is kept. It is
built beside the others, in steps; a trigger notes what changes meanwhile. One short statement then brings those
changes over and puts it in its place. What is interrupted goes on at the next turn from where it stood, for all of
it is in the database.
"""

from datetime import datetime, timedelta
from time import monotonic

import structlog

from herald.outbox.postgres.connections import is_outage, read_clock
from herald.outbox.postgres.driver import Connection, PostgresError, errors
from herald.outbox.postgres.holders import holder
from herald.outbox.postgres.locks import BOOKS, try_lock, unlock
from herald.outbox.postgres.statements import execute, fetch_one, fetch_value

CLOSE_BOOKS = 10.0  # seconds between two turns
SPELL = 2.0  # seconds of copying in one turn: a relay that is told to stop waits for it
STEP = 5_000  # messages looked at in one statement
FEW = 100  # changes that may be left for the statement that everybody waits for
MOST_AT_ONCE = 4  # partitions of each table in one closing
TELL_AGAIN = 600.0  # seconds until the same reason is logged again
REBUILT = "a rebuild of the projection"
WITHHELD = "a topic or partition that Kafka does not take"
_log = structlog.get_logger()

_FORGET_UNSENT = """
DELETE FROM unsent AS u WHERE u.id < (SELECT horizon FROM closing) AND NOT EXISTS (
    SELECT FROM messages AS m WHERE m.id = u.id)
"""


class Retention:
    """The duty: a turn takes a closing as far as it comes, and says now and then what it waits for.

    `retention` in seconds, None to keep everything. The connection is in autocommit.
    """

    def __init__(self, retention: float | None) -> None:
        self._retention = retention
        self._told: dict[str, float] = {}

    def turn(self, connection: Connection) -> None:
        """Close the books as of the database's clock."""
        if not try_lock(connection, BOOKS):
            self._tell(REBUILT)
            return
        try:
            self._turn(connection)
        finally:
            unlock(connection, BOOKS)

    def _turn(self, connection: Connection) -> None:
        if self._retention is None:
            _call(connection, "closing_abandon()")
            return
        at = read_clock(connection)
        waits_for = close_books(connection, retention=self._retention, at=at)
        if waits_for is not None:
            self._tell(waits_for)
        forget_decisions(connection, before=at - timedelta(seconds=self._retention))

    def _tell(self, reason: str) -> None:
        if monotonic() - self._told.get(reason, -TELL_AGAIN) >= TELL_AGAIN:
            self._told[reason] = monotonic()
            _log.warning("books_stay_open", waits_for=reason)


def close_books(connection: Connection, *, retention: float, at: datetime) -> str | None:
    """Begin a closing, or go on with the one under way, for two seconds; returns what it waits for, if anything.

    What does not fit any more, because a migration changed the tables meanwhile, is begun anew at the next turn.
    """
    try:
        is_behind = _call(connection, "(SELECT EXISTS (SELECT FROM relay_withheld))")
        waits_for = WITHHELD if is_behind else _advance(connection, at - timedelta(seconds=retention))
    except errors.LockNotAvailable:
        waits_for = holder(connection)
    except PostgresError as error:
        if not is_outage(error):
            _call(connection, "closing_abandon()")
        raise
    execute(
        connection, "UPDATE closing SET waits_for = %(it)s WHERE waits_for IS DISTINCT FROM %(it)s", {"it": waits_for}
    )
    return waits_for


def forget_decisions(connection: Connection, *, before: datetime) -> None:
    """Delete the jobs that ended before that date, and what was set aside and decided about before it."""
    execute(connection, "DELETE FROM requeues WHERE finished_at < %s", before)
    execute(connection, "DELETE FROM set_aside WHERE decided_at < %s", before)


def _advance(connection: Connection, since: datetime) -> str | None:
    if _call(connection, "(SELECT kept_since > %s FROM closing)", since):
        _call(connection, "closing_abandon()")  # the retention was made longer
    _call(connection, "closing_begin(%s, %s)", since, MOST_AT_ONCE)
    if not _call(connection, "(SELECT bound IS NOT NULL FROM closing)"):
        return None
    deadline = monotonic() + SPELL
    while _call(connection, "closing_copy(%s)", STEP) or _call(connection, "closing_catch_up()") > FEW:
        if monotonic() > deadline:
            return None
    return _finish(connection)


def _finish(connection: Connection) -> str | None:
    waits_for: str | None
    waits_for, milliseconds = fetch_one(connection, "SELECT waits_for, milliseconds FROM closing_finish()")
    if milliseconds is None:
        return waits_for
    until, kept = fetch_one(
        connection, "SELECT outbox_time_of(horizon), (SELECT count(*) FROM messages WHERE id < horizon) FROM closing"
    )
    execute(connection, _FORGET_UNSENT)
    _log.info("books_closed", until=until.isoformat(), kept=kept, locked_milliseconds=round(milliseconds, 1))
    return None


def _call(connection: Connection, what: str, *values: object) -> int:
    """What a function answers; yes is 1, no and nothing are 0."""
    return int(fetch_value(connection, f"SELECT {what}", *values) or 0)
