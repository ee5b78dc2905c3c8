"""Messages whose `deliver_by` passed before they were delivered: reported as expired, never silently gone."""

from herald.outbox.moves.around import AROUND, Batch, chosen
from herald.outbox.moves.request_again import LOCKED
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_column

BATCH = 1_000  # messages in one statement
_FOUND = chosen("""
    SELECT id FROM messages
    WHERE deliver_by <= (SELECT clock_timestamp()) AND status IN ('scheduled', 'pending', 'failed')
    LIMIT %(limit)s
""")
_EXPIRE = f"""
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
found AS MATERIALIZED ({_FOUND}),
locked AS MATERIALIZED ({LOCKED}),
moved AS (
    UPDATE messages AS m
    SET version = m.version + 1, status = 'expired', due_at = NULL, updated_at = clock.at
    FROM locked AS l, clock
    WHERE m.id = l.id AND l.status IN ('scheduled', 'pending', 'failed')
    RETURNING m.id, m.version, m.deliver_by, m.updated_at
)
INSERT INTO outbox (stream_id, version, type, payload, recorded_at)
SELECT id, version, 'message.expired', jsonb_build_object('deliver_by', deliver_by), updated_at FROM moved
"""


def expire(connection: Connection) -> None:
    """Expire one batch, in the caller's transaction; what is being attempted is left to its outcome.

    In autocommit around those for whose sake it fails. Raises PostgresError.
    """

    def find(batch: Batch) -> list[str]:
        return fetch_column(connection, f"SELECT id::text FROM ({_FOUND}) AS batch", {"limit": BATCH, **batch.values})

    def act(batch: Batch) -> int:
        return execute(connection, _EXPIRE, {"limit": BATCH, **batch.values})

    AROUND.act(connection, find, act)
