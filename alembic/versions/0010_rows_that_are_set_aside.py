"""The size of what is published, stored when it is written, and the rows of the log that are set aside.

Expands: the release before may run beside it. What was written before has no size: storing it would read the whole
log, and with it rows that cannot be read.
"""

from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

# Of everything that the relay reads, as it is read back: `1e131071` is stored in a few bytes and read as 131,072. A
# row that cannot be read back is refused where it is written.
SIZE = """
ALTER TABLE outbox ADD COLUMN size integer;

CREATE FUNCTION outbox_note_size() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.size := octet_length(NEW.payload::text) + coalesce(octet_length(NEW.key), 0)
        + coalesce(octet_length(NEW.headers ->> 'request'), 0)
        + coalesce(octet_length(NEW.headers ->> 'traceparent'), 0);
    RETURN NEW;
END $$;

CREATE TRIGGER outbox_notes_size BEFORE INSERT ON outbox
    FOR EACH ROW WHEN (NEW.topic IS NOT NULL) EXECUTE FUNCTION outbox_note_size();
"""

SET_ASIDE = """
CREATE TABLE set_aside (
    stream_id uuid NOT NULL,
    version integer NOT NULL,
    position bigint NOT NULL,
    topic text,
    reason text NOT NULL,
    error text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    decision text,
    decided_at timestamptz,
    decided_by text,
    decided_because text,
    CONSTRAINT set_aside_one_per_event PRIMARY KEY (stream_id, version),
    CONSTRAINT set_aside_reason_is_known CHECK (reason IN ('unreadable', 'unpublishable', 'refused')),
    CONSTRAINT set_aside_decision_is_known CHECK (decision IN ('published', 'discarded')),
    CONSTRAINT set_aside_decision_has_its_date_and_person CHECK (num_nulls(decision, decided_at, decided_by) IN (0, 3))
);
CREATE INDEX set_aside_undecided ON set_aside (since, stream_id, version) WHERE decision IS NULL;
"""

DROP = """
DROP TABLE set_aside;
DROP TRIGGER outbox_notes_size ON outbox;
DROP FUNCTION outbox_note_size();
ALTER TABLE outbox DROP COLUMN size;
"""


def upgrade() -> None:
    """Add the column with the trigger that fills it, and the table."""
    for statements in (SIZE, SET_ASIDE):
        op.execute(statements)


def downgrade() -> None:
    """Take both away, and with them what was decided."""
    op.execute(DROP)
