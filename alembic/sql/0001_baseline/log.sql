-- The log of events. It is append-only: old events leave with their partition.

CREATE SEQUENCE outbox_position AS bigint CACHE 1;

CREATE TABLE outbox (
    -- a sequence of its own: identity columns of partitioned tables came with PostgreSQL 17 only
    position bigint NOT NULL DEFAULT nextval('outbox_position'),
    transaction_id xid8 NOT NULL DEFAULT pg_current_xact_id(),
    stream_id uuid NOT NULL,
    version integer NOT NULL,
    type text NOT NULL,
    schema smallint NOT NULL DEFAULT 1,
    topic text,
    key text,
    data json,  -- what a caller, a producer or a person gave, as text: no function touches it
    payload jsonb NOT NULL,  -- Herald's own fields
    size integer,
    recorded_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT outbox_one_event_per_version PRIMARY KEY (stream_id, version),
    CONSTRAINT outbox_version_counts_from_one CHECK (version > 0)
) PARTITION BY RANGE (stream_id);

CREATE INDEX outbox_to_publish_by_transaction ON outbox (transaction_id) WHERE topic IS NOT NULL;
CREATE INDEX outbox_to_publish_by_position ON outbox (position) WHERE topic IS NOT NULL;

CREATE FUNCTION outbox_refuse_change() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    RAISE EXCEPTION 'the outbox is append-only: % on % is refused', TG_OP, TG_TABLE_NAME
        USING ERRCODE = 'restrict_violation', HINT = 'old events leave with their partition';
END $$;

CREATE TRIGGER outbox_is_append_only BEFORE UPDATE OR DELETE ON outbox
    FOR EACH ROW EXECUTE FUNCTION outbox_refuse_change();
CREATE TRIGGER outbox_is_not_truncated BEFORE TRUNCATE ON outbox
    FOR EACH STATEMENT EXECUTE FUNCTION outbox_refuse_change();

-- The size of everything that the relay reads, as it is read back: in jsonb, `1e131071` is stored in a few bytes and
-- read as 131,072. A request that is repeated names the version that has its data. A row that cannot be read back is
-- refused where it is written.
CREATE FUNCTION outbox_note_size() RETURNS trigger LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    NEW.size := octet_length(NEW.payload::text) + coalesce(octet_length(NEW.key), 0)
        + coalesce(octet_length(NEW.data::text), 0);
    IF NEW.data IS NULL AND NEW.payload ? 'data_version' THEN
        NEW.size := NEW.size + coalesce((SELECT size FROM outbox WHERE stream_id = NEW.stream_id
            AND version = (NEW.payload ->> 'data_version')::integer), 0);
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER outbox_notes_size BEFORE INSERT ON outbox
    FOR EACH ROW WHEN (NEW.topic IS NOT NULL OR NEW.data IS NOT NULL) EXECUTE FUNCTION outbox_note_size();

-- Each stored event says the schema of its payload, and only what is known may be stored. Every later type or schema
-- is allowed by a migration of its own, run before the release that writes it:
--
--     op.execute("SELECT outbox_allow_event('message.carried', 1, '0.1.0')")  # since which release it can be read
--     with op.get_context().autocommit_block():
--         op.execute("ALTER TABLE outbox VALIDATE CONSTRAINT outbox_event_type_is_known")
--
-- and its struct in outbox/message/events.py, its upcaster in outbox/message/upcasting.py, its literal in
-- tests/outbox/message/literals/. The constraint is added NOT VALID, which takes a lock for a moment only, and
-- validated in a transaction of its own, which reads the whole log but lets everybody write meanwhile.
CREATE TABLE event_types (
    type text NOT NULL,
    schema smallint NOT NULL,
    since text NOT NULL,
    CONSTRAINT event_types_one_row_per_schema PRIMARY KEY (type, schema),
    CONSTRAINT event_types_schema_counts_from_one CHECK (schema > 0)
);

-- A list of constants per schema: PostgreSQL looks such a list up by hash, a list of pairs one by one.
CREATE FUNCTION outbox_allow_event(event_type text, schema_number integer, since_release text) RETURNS void
    LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
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

SELECT outbox_allow_event('message.' || name, 1, '0.1.0') FROM unnest(ARRAY[
    'requested', 'scheduled', 'adopted', 'recovered', 'started', 'postponed', 'sent', 'failed', 'unknown',
    'dead_lettered', 'rejected', 'late', 'cancelled', 'expired', 'edited', 'discarded', 'carried'
]) AS name;
ALTER TABLE outbox VALIDATE CONSTRAINT outbox_event_type_is_known;
