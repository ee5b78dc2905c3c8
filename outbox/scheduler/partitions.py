"""Partitions are made ahead: a row that finds none is refused, and there is no default to fall into.

They reach 35 days ahead at least: so long may every relay be away, while callers send by SQL. How wide those of the
next day are follows from the retention, so that a third more than asked is kept at most; those behind them are months,
which are cut when their time comes. Their number stays small: each costs a claim 0.2 ms (measured, 2 to 75 of them).
"""

from datetime import datetime

import structlog

from herald.outbox.postgres.driver import Connection, errors
from herald.outbox.postgres.holders import holder
from herald.outbox.postgres.statements import fetch_value

HOUR = 3600.0  # seconds
MONTH = "1 month"
# the least retention in seconds for each width; below the last one, and without any, there is nothing else to choose
WIDTHS = ((93 * 24 * HOUR, MONTH), (21 * 24 * HOUR, "7 days"), (3 * 24 * HOUR, "1 day"), (18 * HOUR, "6 hours"))
NARROWEST = "1 hour"
SMALL = 8_388_608  # bytes of a partition that may be cut: ATTACH reads it while everybody waits
MOST_CUTS = 100
_log = structlog.get_logger()


def width_for(retention: float | None) -> str:
    """PostgreSQL's interval of one partition; `retention` in seconds, None for ever."""
    if retention is None:
        return MONTH
    return next((width for least, width in WIDTHS if retention >= least), NARROWEST)


def make_partitions(connection: Connection, *, retention: float | None, at: datetime) -> None:
    """Make what is missing; partitions that are too wide and hold little are cut before.

    The connection is in autocommit. Gives up after 5 s behind another lock.
    """
    width = width_for(retention)
    if retention is not None:
        _cut(connection, width, at)
    made = fetch_value(connection, "SELECT outbox_make_partitions(%s::interval, %s)", width, at)
    if made:
        _log.info("partitions_made", partitions=made, width=width)


def _cut(connection: Connection, width: str, at: datetime) -> None:
    try:
        for _ in range(MOST_CUTS):
            if not fetch_value(connection, "SELECT outbox_cut_widest(%s::interval, %s, %s)", width, at, SMALL):
                break
    except errors.LockNotAvailable:
        _log.info("partitions_locked", by=holder(connection), consequence="too wide a partition is cut at a later turn")
