"""Jobs that requeue many dead letters.

Expands: the release before may run beside it; it works no job off.
"""

from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None

REQUEUES = """
CREATE TABLE requeues (
    id uuid NOT NULL,
    filter jsonb NOT NULL,
    rate double precision NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_step_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    total integer NOT NULL,
    done integer NOT NULL DEFAULT 0,
    finished_at timestamptz,
    is_stopped boolean NOT NULL DEFAULT false,
    last_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    CONSTRAINT requeues_one_row_per_job PRIMARY KEY (id),
    CONSTRAINT requeues_have_a_rate CHECK (rate > 0)
);

CREATE INDEX requeues_under_way ON requeues (id) WHERE finished_at IS NULL;
CREATE INDEX messages_on_the_desk ON messages (id) WHERE status IN ('dead', 'unknown');
"""


def upgrade() -> None:
    """Add the table, and an index of what is on the desk."""
    op.execute(REQUEUES)


def downgrade() -> None:
    """Take both away; jobs that are not finished are forgotten."""
    op.execute("DROP INDEX messages_on_the_desk; DROP TABLE requeues;")
