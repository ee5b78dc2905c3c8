"""Messages whose `deliver_by` passed before they were delivered: reported as expired, never silently gone."""

from herald.outbox.moves.around import AROUND, Batch, chosen
from herald.outbox.moves.door import EXPIRED, moving
from herald.outbox.moves.request_again import LOCKED
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_column
from herald.outbox.watched.relay import EXPIRED_MESSAGES

BATCH = 1_000  # messages in one statement
_FOUND = chosen("""
    SELECT m.id FROM unfinished AS u JOIN messages AS m ON m.id = u.id
    WHERE u.deliver_by <= (SELECT clock_timestamp()) AND is_unfinished(m.status) AND m.status <> 'sending'
    LIMIT %(limit)s
""")
EXPIRE = moving(
    f"""
found AS MATERIALIZED ({_FOUND}),
locked AS MATERIALIZED ({LOCKED}),
decided AS MATERIALIZED (
    SELECT id, 'message.expired' AS type, jsonb_build_object('deliver_by', deliver_by) AS payload,
           NULL AS publish_to, 0 AS place
    FROM locked WHERE is_unfinished(status) AND status <> 'sending'
)""",
    EXPIRED,
)


def expire(connection: Connection) -> None:
    """Expire one batch, in the caller's transaction; what is being attempted is left to its outcome.

    In autocommit around those for whose sake it fails. Raises PostgresError.
    """

    def find(batch: Batch) -> list[str]:
        return fetch_column(connection, f"SELECT id::text FROM ({_FOUND}) AS batch", {"limit": BATCH, **batch.values})

    def act(batch: Batch) -> int:
        return execute(connection, EXPIRE, {"limit": BATCH, **batch.values})

    EXPIRED_MESSAGES.inc(sum(AROUND.act(connection, find, act)))
