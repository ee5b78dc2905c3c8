"""How many partitions each topic has, and since when: in the cursor's row.

Expands: the release before does not look at the column.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the column; nothing is known of topics yet."""
    op.execute("ALTER TABLE relay_cursor ADD COLUMN widths jsonb NOT NULL DEFAULT '{}'::jsonb")


def downgrade() -> None:
    """Forget it."""
    op.execute("ALTER TABLE relay_cursor DROP COLUMN widths")
