"""The partitions and topics that Kafka does not take now, each with a cursor of its own.

Expands: the release before may run beside it, but should not lead while a row stands here: it would pass what the row
stands for.
"""

from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

# partition -1 is the whole topic; `partitions` is how many the topic had when its keys were told apart
CREATE = """
CREATE TABLE relay_withheld (
    topic text NOT NULL,
    partition integer NOT NULL,
    partitions integer NOT NULL,
    previous pg_snapshot NOT NULL,
    target pg_snapshot,
    last_position bigint NOT NULL,
    waiting bigint NOT NULL DEFAULT 0,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT relay_withheld_once PRIMARY KEY (topic, partition),
    CONSTRAINT relay_withheld_partition_exists CHECK (partition = -1 OR partition BETWEEN 0 AND partitions - 1)
);
"""


REFUSE_LOSS = """
LOCK TABLE relay_withheld;
DO $$
BEGIN
    IF EXISTS (SELECT FROM relay_withheld) THEN
        RAISE EXCEPTION 'relay_withheld stands for records that are not yet published: wait until the relay has'
            ' caught up and the table is empty';
    END IF;
END $$;
"""


def upgrade() -> None:
    """Add the table."""
    op.execute(CREATE)


def downgrade() -> None:
    """Take it away where it is empty: nothing else knows what it stands for."""
    op.execute(REFUSE_LOSS)
    op.execute("DROP TABLE relay_withheld")
