"""What Kafka refused for good ends here, with its reason, so that the cursor can pass it."""

from collections.abc import Sequence

import msgspec
import structlog
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.relay.reader import Row

_log = structlog.get_logger()
_REJECT = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
refused AS MATERIALIZED (
    SELECT * FROM jsonb_to_recordset(%s::jsonb) AS r(id uuid, request integer, reason text)
),
locked AS MATERIALIZED (
    SELECT m.id, r.reason
    FROM refused AS r JOIN messages AS m ON m.id = r.id
    WHERE m.status = 'pending' AND m.request = r.request
    ORDER BY m.id
    FOR NO KEY UPDATE OF m
),
moved AS (
    UPDATE messages AS m
    SET status = 'dead', version = m.version + 1, reason = l.reason, due_at = NULL, updated_at = clock.at
    FROM locked AS l, clock
    WHERE m.id = l.id
    RETURNING m.id, m.version, m.reason, m.updated_at
)
INSERT INTO outbox (stream_id, version, type, payload, recorded_at)
SELECT id, version, 'message.rejected', jsonb_build_object('reason', reason), updated_at FROM moved
"""


def record_refusals(connection: Connection, refused: Sequence[tuple[Row, str]]) -> None:
    """Record each refused request as `rejected`; a refused notice of a death is only logged."""
    for row, reason in refused:
        _log.error("record_rejected", message=row[0], version=row[1], topic=row[3], reason=reason)
    requests = [
        {"id": row[0], "request": int(row[7]), "reason": f"Kafka refused the record: {reason}"}
        for row, reason in refused
        if row[7] is not None
    ]
    if requests:
        with connection.cursor() as cursor:
            cursor.execute(_REJECT, (msgspec.json.encode(requests).decode(),))
