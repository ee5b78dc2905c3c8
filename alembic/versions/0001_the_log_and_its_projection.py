"""The event log, its projection, the relay's cursor, and the view `notifications`.

Expands: it creates everything, so no earlier release runs beside it.
"""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

OUTBOX = """
CREATE SEQUENCE outbox_position AS bigint CACHE 1;

CREATE TABLE outbox (
    position bigint NOT NULL DEFAULT nextval('outbox_position'),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    stream_id uuid NOT NULL,
    version integer NOT NULL,
    type text NOT NULL,
    topic text,
    key text,
    payload jsonb NOT NULL,
    headers jsonb NOT NULL DEFAULT '{}'::jsonb,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT outbox_one_event_per_version PRIMARY KEY (stream_id, version),
    CONSTRAINT outbox_version_counts_from_one CHECK (version > 0)
) PARTITION BY RANGE (stream_id);

CREATE INDEX outbox_to_publish_by_transaction ON outbox (transaction_id) WHERE topic IS NOT NULL;
CREATE INDEX outbox_to_publish_by_position ON outbox (position) WHERE topic IS NOT NULL;

CREATE FUNCTION outbox_refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the outbox is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'old events leave with their partition';
END $$;

CREATE TRIGGER outbox_is_append_only BEFORE UPDATE OR DELETE ON outbox
    FOR EACH ROW EXECUTE FUNCTION outbox_refuse_change();
CREATE TRIGGER outbox_is_not_truncated BEFORE TRUNCATE ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_refuse_change();
"""

MESSAGES = """
CREATE TABLE messages (
    id uuid NOT NULL,
    topic text NOT NULL,
    key text,
    data jsonb NOT NULL,
    traceparent text,
    status text NOT NULL,
    version integer NOT NULL,
    request integer NOT NULL,
    attempts integer NOT NULL,
    reason text,
    due_at timestamptz,
    requested_in xid8 NOT NULL,
    accepted_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sent_at timestamptz,
    CONSTRAINT messages_one_row_per_stream PRIMARY KEY (id),
    CONSTRAINT messages_status_is_known CHECK
        (status IN ('pending', 'sending', 'sent', 'failed', 'dead', 'cancelled', 'expired')),
    CONSTRAINT messages_sent_has_its_date CHECK ((status = 'sent') = (sent_at IS NOT NULL)),
    CONSTRAINT messages_sending_has_a_lease CHECK (status <> 'sending' OR due_at IS NOT NULL)
) PARTITION BY RANGE (id);

CREATE INDEX messages_of_a_key ON messages (topic, key, id);
CREATE INDEX messages_of_an_event ON messages ((data ->> 'event'), id) WHERE topic = 'notifications';
CREATE INDEX messages_not_sent ON messages (status, id) WHERE status <> 'sent';
CREATE INDEX messages_due ON messages (due_at) WHERE due_at IS NOT NULL;
"""

# A month of UUIDv7 ids is a range: its first 48 bits are milliseconds since 1970. The first
# partition reaches back to the beginning, so that a clock that runs behind finds a place. ATTACH
# takes a weaker lock on the parent than CREATE … PARTITION OF, which would stop every reader.
PARTITIONS = """
CREATE FUNCTION outbox_month_bound(month timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE AS $$
    SELECT (lpad(to_hex((extract(epoch FROM month) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid
$$;

CREATE FUNCTION outbox_make_partition(parent regclass, month timestamptz) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    partition text := format('%s_y%s', parent, to_char(month AT TIME ZONE 'UTC', 'YYYY"m"MM'));
    has_any boolean := EXISTS (SELECT FROM pg_inherits WHERE inhparent = parent);
    bound text := 'MINVALUE';
BEGIN
    IF to_regclass(partition) IS NOT NULL THEN
        RETURN 0;
    END IF;
    IF has_any THEN
        bound := quote_literal(outbox_month_bound(month));
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE %s INCLUDING ALL)', partition, parent);
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)', parent, partition, bound,
        outbox_month_bound(month + interval '1 month'));
    RETURN 1;
END $$;

CREATE FUNCTION outbox_make_partitions(ahead integer) RETURNS integer LANGUAGE plpgsql
    SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    made integer := 0;
    month timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(4840214);
    FOR step IN 0 .. ahead LOOP
        month := date_trunc('month', clock_timestamp()) + make_interval(months => step);
        made := made + outbox_make_partition('outbox', month) + outbox_make_partition('messages', month);
    END LOOP;
    RETURN made;
END $$;

SELECT outbox_make_partitions(1);
"""

RELAY = """
CREATE TABLE relay_cursor (
    name text NOT NULL,
    previous pg_snapshot NOT NULL,
    target pg_snapshot,
    last_position bigint NOT NULL,
    floor bigint NOT NULL,
    epoch bigint NOT NULL,
    system_identifier text NOT NULL,
    timeline integer NOT NULL,
    cluster_id text,
    topic_ids jsonb NOT NULL DEFAULT '{}'::jsonb,
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT relay_cursor_one_per_relay PRIMARY KEY (name)
);

CREATE TABLE relay_pages (
    epoch bigint NOT NULL,
    snapshot pg_snapshot NOT NULL,
    end_offsets jsonb NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT relay_pages_one_per_epoch PRIMARY KEY (epoch)
);
"""

NOTIFICATIONS = """
CREATE VIEW notifications AS
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
       sent_at
FROM messages
WHERE topic = 'notifications';
"""

DROP = """
DROP VIEW notifications;
DROP TABLE relay_pages, relay_cursor, messages, outbox;
DROP SEQUENCE outbox_position;
DROP FUNCTION outbox_make_partitions(integer), outbox_make_partition(regclass, timestamptz),
    outbox_month_bound(timestamptz), outbox_refuse_change();
"""


def upgrade() -> None:
    """Create everything."""
    for statements in (OUTBOX, MESSAGES, PARTITIONS, RELAY, NOTIFICATIONS):
        op.execute(statements)


def downgrade() -> None:
    """Drop everything, the log included."""
    op.execute(DROP)
