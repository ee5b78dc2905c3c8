"""Every quarter of an hour: a warning, as long as messages wait for a person."""

import structlog

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_one
from herald.outbox.scheduler.task import Task

_log = structlog.get_logger()
_WAITING = """
SELECT count(*) FILTER (WHERE u.status = 'dead'), count(*) FILTER (WHERE u.status = 'unknown'), min(m.updated_at)
FROM unsent AS u JOIN messages AS m ON m.id = u.id WHERE u.status IN ('dead', 'unknown')
"""


def run(connection: Connection) -> None:
    """Log it."""
    dead, unknown, since = fetch_one(connection, _WAITING)
    if dead or unknown:
        _log.warning(
            "dead_letters_wait", dead=dead, unknown=unknown, since=since.isoformat(), see="herald dead-letters"
        )


task = Task(every=900.0, run=run)
