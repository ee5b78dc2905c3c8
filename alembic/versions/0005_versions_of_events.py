"""Versions of events: each stored event says the schema of its payload, and only what is known may be stored.

Expands: the release before writes schema 1 by default. Every later type or schema is allowed by a migration of
its own, run before the release that writes it:

    op.execute("SELECT outbox_allow_event('message.carried', 1, '0.1.0')")  # since which release it can be read
    with op.get_context().autocommit_block(): op.execute(VALIDATE)  # as below

and its struct in outbox/message/events.py, its upcaster in outbox/message/upcasting.py, its literal in
tests/outbox/message/literals/.

The constraint is added NOT VALID, which takes a lock for a moment only, and validated in a transaction of its own,
which reads the whole log but lets everybody write meanwhile. What is interrupted in between is simply run again.
"""

from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None

TABLE = """
ALTER TABLE outbox ADD COLUMN IF NOT EXISTS schema smallint NOT NULL DEFAULT 1;

CREATE TABLE IF NOT EXISTS event_types (
    type text NOT NULL,
    schema smallint NOT NULL,
    since text NOT NULL,
    CONSTRAINT event_types_one_row_per_schema PRIMARY KEY (type, schema),
    CONSTRAINT event_types_schema_counts_from_one CHECK (schema > 0)
);
"""

# A list of constants per schema: PostgreSQL looks such a list up by hash, a list of pairs one by one.
ALLOW = """
CREATE OR REPLACE FUNCTION outbox_allow_event(event_type text, schema_number integer, since_release text) RETURNS void
    LANGUAGE plpgsql AS $$
DECLARE
    known text;
BEGIN
    INSERT INTO event_types VALUES (event_type, schema_number, since_release) ON CONFLICT DO NOTHING;
    SELECT string_agg(format('schema = %s AND type IN (%s)', schema, types), ' OR ' ORDER BY schema) INTO known
    FROM (SELECT schema, string_agg(quote_literal(type), ', ' ORDER BY type) AS types
          FROM event_types GROUP BY schema) AS listed;
    ALTER TABLE outbox DROP CONSTRAINT IF EXISTS outbox_event_type_is_known;
    EXECUTE format('ALTER TABLE outbox ADD CONSTRAINT outbox_event_type_is_known CHECK (%s) NOT VALID', known);
END $$;
"""

TYPES = (
    "requested",
    "scheduled",
    "adopted",
    "recovered",
    "started",
    "postponed",
    "sent",
    "failed",
    "unknown",
    "dead_lettered",
    "rejected",
    "late",
    "cancelled",
    "expired",
    "edited",
    "discarded",
)
VALIDATE = "ALTER TABLE outbox VALIDATE CONSTRAINT outbox_event_type_is_known"

DROP = """
ALTER TABLE outbox DROP CONSTRAINT outbox_event_type_is_known, DROP COLUMN schema;
DROP FUNCTION outbox_allow_event(text, integer, text);
DROP TABLE event_types;
"""


def upgrade() -> None:
    """Add column, table and constraint."""
    op.execute(TABLE)
    op.execute(ALLOW)
    for name in TYPES:
        op.execute(f"SELECT outbox_allow_event('message.{name}', 1, '0.1.0')")
    with op.get_context().autocommit_block():
        op.execute(VALIDATE)


def downgrade() -> None:
    """Take them away: what is stored with a later schema is no longer told apart."""
    op.execute(DROP)
