"""Every quarter of an hour: a warning, as long as messages wait for a person."""

import structlog

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_one

_log = structlog.get_logger()
_WAITING = """
SELECT count(*) FILTER (WHERE status = 'dead'), count(*) FILTER (WHERE status = 'unknown'), min(updated_at)
FROM messages WHERE status <> 'sent' AND status IN ('dead', 'unknown')
"""


def run(connection: Connection) -> None:
    """Log it."""
    dead, unknown, since = fetch_one(connection, _WAITING)
    if dead or unknown:
        _log.warning(
            "dead_letters_wait", dead=dead, unknown=unknown, since=since.isoformat(), see="herald dead-letters"
        )
