"""Every five minutes: how many messages are in which state, as one line of the log."""

import structlog

from herald.outbox.postgres.driver import Connection

_log = structlog.get_logger()

# whatever is unfinished has an index; what is sent is left out, or it would be counted row by row
_UNFINISHED = """
SELECT status, count(*) FROM messages
WHERE status <> 'sent' AND status IN ('scheduled', 'pending', 'sending', 'failed') GROUP BY status
"""
_TROUBLE = """
SELECT (SELECT count(*) FROM breakers WHERE opened_at IS NOT NULL), (SELECT count(*) FROM pauses)
"""


def run(connection: Connection) -> None:
    """Log it."""
    with connection.cursor() as cursor:
        cursor.execute(_UNFINISHED)
        unfinished: dict[str, int] = dict(cursor.fetchall())
        cursor.execute(_TROUBLE)
        open_breakers, pauses = cursor.fetchone()  # type: ignore[misc]
    _log.info("backlog_reported", open_breakers=open_breakers, pauses=pauses, **unfinished)
