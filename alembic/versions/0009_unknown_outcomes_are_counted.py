"""How many outcomes of a message are not known is counted: a mail is repeated after the first, and held after that.

Expands: the release before may run beside it. What that one settles meanwhile is not counted, and a rebuild
corrects it.
"""

from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None

# Since a person last decided to try again, as outbox/message/state.py counts.
COUNT = """
UPDATE messages AS m SET unknowns = counted.number
FROM (
    SELECT o.stream_id, count(*) AS number FROM outbox AS o
    WHERE o.type = 'message.unknown' AND NOT EXISTS (
        SELECT FROM outbox AS later
        WHERE later.stream_id = o.stream_id AND later.version > o.version AND later.type = 'message.requested'
          AND later.headers ->> 'cause' = 'requeued')
    GROUP BY o.stream_id
) AS counted
WHERE m.id = counted.stream_id
"""


def upgrade() -> None:
    """Add the number, and count what the log has."""
    op.execute("SELECT closing_abandon()")  # what it copied so far lacks the column: it begins anew
    op.execute("ALTER TABLE messages ADD COLUMN unknowns integer NOT NULL DEFAULT 0")
    op.execute(COUNT)


def downgrade() -> None:
    """Take it away."""
    op.execute("SELECT closing_abandon()")
    op.execute("ALTER TABLE messages DROP COLUMN unknowns")
