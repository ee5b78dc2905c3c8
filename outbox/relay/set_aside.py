"""Rows of the log that cannot be published: kept by name for an operator, so that the cursor can pass them."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import structlog

from herald.outbox.postgres.conviction import text_of
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute

Reason = Literal["unreadable", "unpublishable", "refused"]
MOST_TEXT = 1_000  # characters of an error that are kept
_log = structlog.get_logger()

_KEEP = """
INSERT INTO set_aside (stream_id, version, position, topic, reason, error)
SELECT o.stream_id, o.version, o.position, left(o.topic, 250), %(reason)s, %(error)s
FROM outbox AS o WHERE o.stream_id = %(stream)s::uuid AND o.version = %(version)s
ON CONFLICT DO NOTHING
"""


class Aside(NamedTuple):
    """A row of the log, and why it is passed by."""

    stream_id: str
    version: int
    reason: Reason
    error: Exception | str


def set_aside(connection: Connection, rows: Sequence[Aside]) -> None:
    """Keep these by name, one log line each; what is kept already stays as it is. Raises PostgresError."""
    for row in rows:
        is_foreseen = isinstance(row.error, str)
        text = (row.error if isinstance(row.error, str) else text_of(row.error)).replace("\0", "")[:MOST_TEXT]
        values = {"stream": row.stream_id, "version": row.version, "reason": row.reason, "error": text}
        execute(connection, _KEEP, values)
        _log.error(
            "row_set_aside",
            message=row.stream_id,
            version=row.version,
            reason=row.reason,
            error=text,
            next="herald set-aside",
            exc_info=None if is_foreseen else row.error,
        )
