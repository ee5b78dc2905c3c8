"""Dates, priorities and destinations of messages; breakers and pauses.

Expands: columns have defaults, so the release before may run beside it; it would leave the new
states alone. The indexes are made while writers wait: on large tables run it in a quiet hour.
"""

from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None

MESSAGES = """
ALTER TABLE messages
    ADD COLUMN priority smallint NOT NULL DEFAULT 5,
    ADD COLUMN deliver_by timestamptz,
    ADD COLUMN destination text,
    ADD COLUMN uncounted integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT messages_status_is_known,
    ADD CONSTRAINT messages_status_is_known CHECK (status IN ('scheduled', 'pending', 'sending', 'sent', 'failed',
        'unknown', 'dead', 'cancelled', 'expired', 'discarded')),
    ADD CONSTRAINT messages_priority_is_a_digit CHECK (priority BETWEEN 0 AND 9),
    ADD CONSTRAINT messages_waiting_has_its_date CHECK (status NOT IN ('scheduled', 'failed') OR due_at IS NOT NULL);

DROP INDEX messages_due;
CREATE INDEX messages_due ON messages (priority, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX messages_waiting_for_a_destination ON messages (destination, priority, due_at)
    WHERE status IN ('scheduled', 'failed');
CREATE INDEX messages_delayed_of_a_key ON messages (topic, key)
    WHERE status IN ('scheduled', 'failed') OR request > 1 AND status IN ('pending', 'sending');
CREATE INDEX messages_to_expire ON messages (deliver_by)
    WHERE deliver_by IS NOT NULL AND status IN ('scheduled', 'pending', 'failed');
"""

GATES = """
CREATE TABLE breakers (
    destination text NOT NULL,
    failures integer NOT NULL,
    opened_at timestamptz,
    probes integer NOT NULL DEFAULT 0,
    probe_at timestamptz,
    probe_id uuid,
    probe_until timestamptz,
    closed_at timestamptz,
    released integer NOT NULL DEFAULT 0,
    reason text,
    CONSTRAINT breakers_one_per_destination PRIMARY KEY (destination),
    CONSTRAINT breakers_open_has_its_probe CHECK ((opened_at IS NULL) = (probe_at IS NULL)),
    CONSTRAINT breakers_open_or_closed CHECK (opened_at IS NULL OR closed_at IS NULL)
);

CREATE TABLE pauses (
    scope text NOT NULL,
    reason text,
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT pauses_one_per_scope PRIMARY KEY (scope)
);
"""

VIEW = """
CREATE OR REPLACE VIEW notifications AS
SELECT id,
       data ->> 'user_id' AS user_id,
       data ->> 'event' AS event,
       data ->> 'content' AS content,
       data ->> 'channel' AS channel,
       status,
       status = 'sent' AS sent_status,
       attempts,
       reason,
       due_at,
       accepted_at AS created_at,
       updated_at,
       sent_at,
       data ->> 'address' AS address,
       destination,
       priority,
       deliver_by
FROM messages
WHERE topic = 'notifications';
"""

BACK = """
DROP VIEW notifications;
DROP TABLE breakers, pauses;
DROP INDEX messages_due, messages_waiting_for_a_destination, messages_delayed_of_a_key, messages_to_expire;
ALTER TABLE messages
    DROP CONSTRAINT messages_status_is_known,
    DROP CONSTRAINT messages_priority_is_a_digit,
    DROP CONSTRAINT messages_waiting_has_its_date,
    ADD CONSTRAINT messages_status_is_known CHECK
        (status IN ('pending', 'sending', 'sent', 'failed', 'dead', 'cancelled', 'expired')),
    DROP COLUMN priority, DROP COLUMN deliver_by, DROP COLUMN destination, DROP COLUMN uncounted;
CREATE INDEX messages_due ON messages (due_at) WHERE due_at IS NOT NULL;
CREATE VIEW notifications AS
SELECT id, data ->> 'user_id' AS user_id, data ->> 'event' AS event, data ->> 'content' AS content,
       data ->> 'channel' AS channel, status, status = 'sent' AS sent_status, attempts, reason, due_at,
       accepted_at AS created_at, updated_at, sent_at
FROM messages
WHERE topic = 'notifications';
"""


def upgrade() -> None:
    """Add columns, indexes and tables."""
    for statements in (MESSAGES, GATES, VIEW):
        op.execute(statements)


def downgrade() -> None:
    """Take them away; refused while a message is in one of the new states."""
    op.execute(BACK)
