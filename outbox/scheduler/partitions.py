"""Partitions are made ahead: a row whose month has none is refused, and there is no default to fall into."""

import structlog
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

MONTHS_AHEAD = 1  # each partition costs every statement planning time: 0.1 ms of a claim
_log = structlog.get_logger()


def make_partitions(connection: Connection) -> None:
    """Make the partitions of this month and the next; gives up after 5 s behind another lock."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT outbox_make_partitions(%s)", (MONTHS_AHEAD,))
        (made,) = cursor.fetchone()  # type: ignore[misc]
    if made:
        _log.info("partitions_made", partitions=made)
