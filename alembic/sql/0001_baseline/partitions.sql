-- Partitions of any width: they begin where the newest one ends, so that a changed width leaves no gap. The first one
-- reaches back to the beginning, so that a clock that runs behind finds a place.

-- A UUIDv7 begins with 48 bits of milliseconds since 1970. A body that begins with RETURN is bound when it is made: it
-- needs no search path, with which a function is not inlined.
CREATE FUNCTION outbox_first_id(at timestamptz) RETURNS uuid LANGUAGE sql IMMUTABLE
    RETURN (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0') || repeat('0', 20))::uuid;

CREATE FUNCTION outbox_time_of(id uuid) RETURNS timestamptz LANGUAGE sql IMMUTABLE
    RETURN to_timestamp(('x' || left(replace(id::text, '-', ''), 12))::bit(48)::bigint / 1000.0);

CREATE FUNCTION outbox_next_bound(at timestamptz, width interval) RETURNS timestamptz LANGUAGE sql STABLE
    SET search_path FROM CURRENT SET timezone = 'UTC' AS $$
    SELECT CASE WHEN width = interval '1 month' THEN date_trunc('month', at) + width
                ELSE date_bin(width, at, '2001-01-01 00:00 UTC') + width END  -- a Monday
$$;

-- The names as they are in the schema, whatever search path looks: `regclass` as text would depend on it.
CREATE VIEW partitions AS
SELECT parent, name, lower, upper, outbox_time_of(lower) AS begins_at, outbox_time_of(upper) AS ends_at
FROM (
    SELECT p.relname::text AS parent, c.relname::text AS name,
           substring(bounds FROM 'FROM \(''([0-9a-f-]+)''\)')::uuid AS lower,
           substring(bounds FROM 'TO \(''([0-9a-f-]+)''\)')::uuid AS upper
    FROM pg_inherits AS i
    JOIN pg_class AS c ON c.oid = i.inhrelid
    JOIN pg_class AS p ON p.oid = i.inhparent
    CROSS JOIN LATERAL pg_get_expr(c.relpartbound, c.oid) AS bounds
    WHERE i.inhparent IN ('outbox'::regclass, 'messages'::regclass)
) AS attached;

-- ATTACH takes a weaker lock on the parent than CREATE … PARTITION OF, which would stop every reader.
CREATE FUNCTION outbox_add_partition(parent text, lower uuid, upper uuid) RETURNS void LANGUAGE plpgsql
    SET search_path FROM CURRENT AS $$
DECLARE
    name text := format('%s_y%s', parent,
        to_char(coalesce(outbox_time_of(lower), 'epoch') AT TIME ZONE 'UTC', 'YYYYMMDD"t"HH24MI'));
BEGIN
    EXECUTE format('CREATE TABLE %I (LIKE %s INCLUDING ALL)', name, parent);
    IF parent = 'messages' THEN  -- room for the moves of a message on the page where it stands
        EXECUTE format('ALTER TABLE %I SET (fillfactor = 60)', name);
    END IF;
    EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)', parent, name,
        coalesce(quote_literal(lower), 'MINVALUE'), upper);
END $$;

-- How far partitions of that width reach; months, which cost little, come behind them: nothing of Herald has to run for
-- 35 days.
CREATE FUNCTION outbox_reach(at timestamptz, width interval) RETURNS timestamptz LANGUAGE sql STABLE
    SET search_path FROM CURRENT AS $$
    SELECT outbox_next_bound(at + greatest(width, interval '1 day'), width)
$$;

CREATE FUNCTION outbox_make_partitions(width interval, at timestamptz) RETURNS integer LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '5s' AS $$
DECLARE
    made integer := 0;
    whole text;
    newest timestamptz;
    next timestamptz;
BEGIN
    PERFORM pg_advisory_xact_lock(current_schema()::regnamespace::oid::integer, 4840214);
    FOREACH whole IN ARRAY ARRAY['outbox', 'messages'] LOOP
        SELECT max(ends_at) INTO newest FROM partitions WHERE parent = whole;
        WHILE newest IS NULL OR newest < greatest(outbox_reach(at, width), at + interval '35 days') LOOP
            next := outbox_next_bound(greatest(newest, at),
                CASE WHEN newest >= outbox_reach(at, width) THEN interval '1 month' ELSE width END);
            PERFORM outbox_add_partition(whole, outbox_first_id(newest), outbox_first_id(next));
            newest := next;
            made := made + 1;
        END LOOP;
    END LOOP;
    RETURN made;
END $$;

-- A partition that is too wide, and holds what comes before the reach, is cut behind its newest id, at its beginning where
-- it is empty: what is cut off becomes one of its own. Where little is in it, ATTACH checks that in an instant. Ten minutes
-- are left for whoever makes ids meanwhile. One cut a call, the earliest first; false where none is left.
CREATE FUNCTION outbox_cut_widest(width interval, at timestamptz, most_bytes bigint) RETURNS boolean LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT SET timezone = 'UTC' SET lock_timeout = '50ms' AS $$
DECLARE
    log record;
    state record;
    whole record;
    cut timestamptz;
BEGIN
    FOR log IN SELECT * FROM partitions WHERE parent = 'outbox' AND ends_at > at
            AND coalesce(begins_at < outbox_reach(at, width), true) ORDER BY upper LOOP
        SELECT * INTO state FROM partitions WHERE parent = 'messages' AND upper = log.upper
            AND lower IS NOT DISTINCT FROM log.lower;
        CONTINUE WHEN NOT FOUND
            OR pg_relation_size(log.name::regclass) + pg_relation_size(state.name::regclass) > most_bytes;
        cut := outbox_cut_of(log.begins_at, log.upper, width, at);
        CONTINUE WHEN cut >= log.ends_at;
        IF NOT pg_try_advisory_xact_lock(current_schema()::regnamespace::oid::integer, 4840215) THEN
            RETURN false;  -- a rebuild goes on: what it has built would no longer fit
        END IF;
        LOCK TABLE ONLY outbox IN ACCESS EXCLUSIVE MODE;
        LOCK TABLE ONLY messages IN ACCESS EXCLUSIVE MODE;
        cut := outbox_cut_of(log.begins_at, log.upper, width, at);
        CONTINUE WHEN cut >= log.ends_at;
        FOR whole IN VALUES (log.parent, log.name), (state.parent, state.name) LOOP
            EXECUTE format('ALTER TABLE %s DETACH PARTITION %I', whole.column1, whole.column2);
            EXECUTE format('ALTER TABLE %s ATTACH PARTITION %I FOR VALUES FROM (%s) TO (%L)', whole.column1,
                whole.column2, coalesce(quote_literal(log.lower), 'MINVALUE'), outbox_first_id(cut));
            PERFORM outbox_add_partition(whole.column1, outbox_first_id(cut), log.upper);
        END LOOP;
        RETURN true;
    END LOOP;
    RETURN false;
END $$;

CREATE FUNCTION outbox_cut_of(begins_at timestamptz, upper uuid, width interval, at timestamptz) RETURNS timestamptz
    LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT outbox_next_bound(greatest(begins_at, at + interval '10 minutes', outbox_time_of(greatest(
        (SELECT stream_id FROM outbox WHERE stream_id < upper ORDER BY stream_id DESC LIMIT 1),
        (SELECT id FROM messages WHERE id < upper ORDER BY id DESC LIMIT 1)))), width)
$$;

SELECT outbox_make_partitions(interval '1 month', clock_timestamp());
