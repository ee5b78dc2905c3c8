"""What waits of a key is found in the order of acceptance: what comes behind it takes its date.

Both releases use either index. It is made while writers wait, of what is delayed only.
"""

from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

DELAYED = "status IN ('scheduled', 'failed') OR request > 1 AND status IN ('pending', 'sending')"


def upgrade() -> None:
    """Replace the index."""
    op.execute("DROP INDEX messages_delayed_of_a_key")
    op.execute(f"CREATE INDEX messages_delayed_of_a_key ON messages (topic, key, accepted_at, id) WHERE {DELAYED}")


def downgrade() -> None:
    """Put the former one in its place."""
    op.execute("DROP INDEX messages_delayed_of_a_key")
    op.execute(f"CREATE INDEX messages_delayed_of_a_key ON messages (topic, key) WHERE {DELAYED}")
