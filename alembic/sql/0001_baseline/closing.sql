-- Closing the books: partitions that are due are replaced by one that holds only what is kept.

-- `horizon` is the upper bound of the lowest partition. A closing under way has the other columns: from what bound on
-- nothing is touched, since when what has ended is kept, and up to what id the kept ones are copied.
CREATE TABLE closing (
    is_only boolean NOT NULL DEFAULT true,
    horizon uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    closed_at timestamptz,
    bound uuid,
    kept_since timestamptz,
    copied_to uuid,
    waits_for text,
    CONSTRAINT closing_one_row PRIMARY KEY (is_only),
    CONSTRAINT closing_is_the_only_one CHECK (is_only),
    CONSTRAINT closing_is_under_way_or_not CHECK (num_nulls(bound, kept_since, copied_to) IN (0, 3))
);
INSERT INTO closing DEFAULT VALUES;

CREATE TABLE closing_changes (id uuid NOT NULL);

CREATE FUNCTION closing_note_change() RETURNS trigger LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    INSERT INTO closing_changes VALUES (NEW.id);
    RETURN NULL;
END $$;

CREATE FUNCTION closing_table(parent text, bound uuid) RETURNS text LANGUAGE sql STABLE
    SET search_path FROM CURRENT AS $$
    SELECT format('%s_before_%s', parent, to_char(outbox_time_of(bound) AT TIME ZONE 'UTC', 'YYYYMMDD"t"HH24MI'))
$$;

-- From the trigger's commit on, every change is noted: what is copied afterwards is either current or on the list.
CREATE FUNCTION closing_begin(since timestamptz, most integer) RETURNS boolean LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '50ms' AS $$
DECLARE
    until uuid;
    partition text;
BEGIN
    PERFORM FROM closing WHERE bound IS NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT upper INTO until FROM (
        SELECT m.upper FROM partitions AS m JOIN partitions AS o ON o.upper = m.upper
        WHERE m.parent = 'messages' AND o.parent = 'outbox' AND m.ends_at <= since
          AND m.upper > (SELECT horizon FROM closing)
        ORDER BY m.upper LIMIT most
    ) AS due ORDER BY upper DESC LIMIT 1;
    IF until IS NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('CREATE TABLE %I (LIKE outbox INCLUDING ALL, CHECK (stream_id < %L))',
        closing_table('outbox', until), until);
    EXECUTE format('CREATE TABLE %I (LIKE messages INCLUDING ALL, CHECK (id < %L)) WITH (fillfactor = 60)',
        closing_table('messages', until), until);
    DELETE FROM closing_changes;
    FOR partition IN SELECT name FROM partitions WHERE parent = 'messages' AND upper <= until ORDER BY upper LOOP
        EXECUTE format('CREATE TRIGGER closing_notes_changes AFTER INSERT OR UPDATE ON %I'
            ' FOR EACH ROW EXECUTE FUNCTION closing_note_change()', partition);
    END LOOP;
    UPDATE closing SET bound = until, kept_since = since, copied_to = '00000000-0000-0000-0000-000000000000';
    RETURN true;
END $$;

-- Whatever columns `messages` has are carried: the row as it is, and the same as one event.
CREATE FUNCTION closing_keeps(status text, updated_at timestamptz, since timestamptz) RETURNS boolean
    LANGUAGE sql IMMUTABLE
    RETURN status NOT IN ('sent', 'cancelled', 'expired', 'discarded') OR updated_at > since;

CREATE FUNCTION closing_carry(ids uuid[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    under_way closing;
    log text;
    state text;
    names text;
    expressions text;
BEGIN
    SELECT * INTO under_way FROM closing;
    log := closing_table('outbox', under_way.bound);
    state := closing_table('messages', under_way.bound);
    SELECT string_agg(quote_ident(attname), ', ' ORDER BY attnum) INTO names
    FROM pg_attribute WHERE attrelid = 'messages'::regclass AND attnum > 0 AND NOT attisdropped;
    expressions := regexp_replace(names, '\m(data_)?version\M', 'version + 1', 'g');
    EXECUTE format('DELETE FROM %I WHERE stream_id = ANY ($1)', log) USING ids;
    EXECUTE format('DELETE FROM %I WHERE id = ANY ($1)', state) USING ids;
    EXECUTE format('INSERT INTO %I (%s) SELECT %s FROM messages'
        ' WHERE id = ANY ($1) AND closing_keeps(status, updated_at, $2)', state, names, expressions)
        USING ids, under_way.kept_since;
    EXECUTE format('INSERT INTO %I (stream_id, version, type, data, size, payload)'
        ' SELECT m.id, m.version, ''message.carried'', o.data, octet_length(o.data::text),'
        ' to_jsonb(m) - ARRAY[''id'', ''version'', ''data_version'']'
        ' || jsonb_build_object(''requested_in'', m.requested_in::text::bigint)'
        ' FROM %I AS m JOIN messages AS was ON was.id = m.id'
        ' LEFT JOIN outbox AS o ON o.stream_id = was.id AND o.version = was.data_version'
        ' WHERE m.id = ANY ($1)', log, state) USING ids;
END $$;

CREATE FUNCTION closing_copy(most integer) RETURNS boolean LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    under_way closing;
    last uuid;
BEGIN
    SELECT * INTO under_way FROM closing WHERE copied_to < bound FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    SELECT id INTO last FROM (
        SELECT id FROM messages WHERE id > under_way.copied_to AND id < under_way.bound ORDER BY id LIMIT most
    ) AS step ORDER BY id DESC LIMIT 1;
    IF last IS NULL THEN
        EXECUTE format('ANALYZE %I, %I', closing_table('outbox', under_way.bound),
            closing_table('messages', under_way.bound));
    ELSE
        PERFORM closing_carry(ARRAY(
            SELECT id FROM messages WHERE id > under_way.copied_to AND id <= last
                AND closing_keeps(status, updated_at, under_way.kept_since)));
    END IF;
    UPDATE closing SET copied_to = coalesce(last, bound);
    RETURN last IS NOT NULL;
END $$;

CREATE FUNCTION closing_catch_up() RETURNS integer LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    changed uuid[];
BEGIN
    PERFORM FROM closing FOR UPDATE;
    WITH gone AS (DELETE FROM closing_changes RETURNING id) SELECT array_agg(DISTINCT id) INTO changed FROM gone;
    IF changed IS NOT NULL THEN
        PERFORM closing_carry(changed);
    END IF;
    RETURN coalesce(cardinality(changed), 0);
END $$;

CREATE FUNCTION closing_is_unpublished(until uuid) RETURNS boolean LANGUAGE plpgsql
    SET search_path FROM CURRENT SET enable_seqscan = off AS $$
DECLARE
    relay relay_cursor;
    partition text;
    is_found boolean;
BEGIN
    SELECT * INTO relay FROM relay_cursor WHERE name = 'relay';
    IF NOT FOUND THEN
        RETURN true;
    END IF;
    FOR partition IN SELECT name FROM partitions WHERE parent = 'outbox' AND upper <= until LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE topic IS NOT NULL'
            ' AND transaction_id >= pg_snapshot_xmin($1) AND NOT pg_visible_in_snapshot(transaction_id, $1)'
            ' AND position + 0 > $2)', partition)  -- + 0: by the index of positions all of them would be read
            INTO is_found USING relay.previous, relay.floor;
        IF is_found THEN
            RETURN true;
        END IF;
    END LOOP;
    RETURN false;
END $$;

-- One call, so that a relay that freezes does not keep the locks. A vacuum that works on a partition is not waited for
-- while everybody else waits: its lock is asked for first. Returns what it waits for, or how long it had the locks.
CREATE FUNCTION closing_finish(OUT waits_for text, OUT milliseconds double precision) LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '50ms' AS $$
DECLARE
    until uuid;
    whole text;
    partition text;
    locked_at timestamptz;
BEGIN
    SELECT bound INTO until FROM closing WHERE copied_to = bound FOR UPDATE;
    IF until IS NULL THEN
        RETURN;  -- another relay was faster
    END IF;
    IF closing_is_unpublished(until) THEN
        waits_for := 'what the relay has not published yet';
        RETURN;
    END IF;
    FOR partition IN SELECT name FROM partitions WHERE upper <= until LOOP
        EXECUTE format('LOCK TABLE ONLY %I IN SHARE UPDATE EXCLUSIVE MODE', partition);
    END LOOP;
    LOCK TABLE ONLY outbox IN ACCESS EXCLUSIVE MODE;
    locked_at := clock_timestamp();
    LOCK TABLE ONLY messages IN ACCESS EXCLUSIVE MODE;
    IF closing_is_unpublished(until) THEN
        waits_for := 'what the relay has not published yet';
        RETURN;
    END IF;
    PERFORM closing_catch_up();
    FOREACH whole IN ARRAY ARRAY['outbox', 'messages'] LOOP
        FOR partition IN SELECT name FROM partitions WHERE parent = whole AND upper <= until LOOP
            EXECUTE format('ALTER TABLE %s DETACH PARTITION %I', whole, partition);
            EXECUTE format('DROP TABLE %I', partition);
        END LOOP;
        EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (MINVALUE) TO (%L)', whole,
            closing_table(whole, until), until);
    END LOOP;
    UPDATE closing SET horizon = until, closed_at = clock_timestamp(), bound = NULL, kept_since = NULL,
        copied_to = NULL, waits_for = NULL;
    milliseconds := extract(epoch FROM clock_timestamp() - locked_at) * 1000;
END $$;

CREATE FUNCTION closing_abandon() RETURNS boolean LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT SET lock_timeout = '50ms' AS $$
DECLARE
    until uuid;
    partition text;
BEGIN
    SELECT bound INTO until FROM closing WHERE bound IS NOT NULL FOR UPDATE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    FOR partition IN SELECT name FROM partitions WHERE parent = 'messages' AND upper <= until ORDER BY upper LOOP
        EXECUTE format('DROP TRIGGER IF EXISTS closing_notes_changes ON %I', partition);
    END LOOP;
    EXECUTE format('DROP TABLE IF EXISTS %I, %I', closing_table('outbox', until), closing_table('messages', until));
    DELETE FROM closing_changes;
    UPDATE closing SET bound = NULL, kept_since = NULL, copied_to = NULL, waits_for = NULL;
    RETURN true;
END $$;
