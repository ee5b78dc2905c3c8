"""Every five minutes: how many messages are in which state, as one line of the log."""

import structlog

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch, fetch_one
from herald.outbox.scheduler.task import Task

_log = structlog.get_logger()

# what is sent is left out, or it would be counted row by row
_UNFINISHED = """
SELECT m.status, count(*) FROM unfinished AS u JOIN messages AS m ON m.id = u.id GROUP BY m.status
"""
_TROUBLE = """
SELECT (SELECT count(*) FROM breakers WHERE opened_at IS NOT NULL), (SELECT count(*) FROM pauses)
"""


def run(connection: Connection) -> None:
    """Log it."""
    unfinished: dict[str, int] = dict(fetch(connection, _UNFINISHED))
    open_breakers, pauses = fetch_one(connection, _TROUBLE)
    _log.info("backlog_reported", open_breakers=open_breakers, pauses=pauses, **unfinished)


task = Task(every=300.0, run=run)
