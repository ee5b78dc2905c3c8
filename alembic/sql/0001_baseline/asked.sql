-- From what a caller gives to `send`, `notify` and `send_many` (send.sql) to what `accept_these` takes. These functions, as
-- those of checks.sql, have the search path of the one that is called: to set it costs as much as they do.

-- UUIDv7 of the database's clock; `place` keeps the order within one call (a quarter of a microsecond each).
CREATE FUNCTION outbox_new_id(place integer) RETURNS uuid LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    quarters CONSTANT bigint := (extract(epoch FROM clock_timestamp()) * 4000000)::bigint + place;
BEGIN
    RETURN (lpad(to_hex(quarters / 4000), 12, '0') || '7' || lpad(to_hex(quarters % 4000), 3, '0')
        || right(gen_random_uuid()::text, 17))::uuid;
END $$;

-- Options are an object of these; `known` are those that a function has of its own.
CREATE FUNCTION checked_options(options jsonb, known text[], within text) RETURNS jsonb LANGUAGE plpgsql AS $$
DECLARE
    given jsonb := coalesce(nullif(options, 'null'), '{}');
    every CONSTANT text[] := ARRAY['deliver_at', 'deliver_by', 'priority', 'idempotency_key', 'traceparent', 'group',
        'actor'];
BEGIN
    IF jsonb_typeof(given) <> 'object' THEN
        PERFORM refuse(rtrim(within, '.'), 'must be a JSON object', 'pass an object, as in ''{"priority": 9}''');
    END IF;
    IF given <> '{}' THEN
        PERFORM checked_fields(given, every || known, within);
    END IF;
    RETURN given;
END $$;

-- One message for `accept_these`, checked; a traceparent that is malformed is ignored, as its specification says.
CREATE FUNCTION message_to_accept(topic text, key text, data json, options jsonb, within text, actor text,
                                  deliver_at timestamptz, deliver_by timestamptz, priority smallint, place integer)
    RETURNS asked_message LANGUAGE plpgsql AS $$
DECLARE
    trace text;
    behalf text;
    family text;
BEGIN
    IF options <> '{}' THEN
        trace := options ->> 'traceparent';
        behalf := checked_text(options, 'actor', 255, within);
        family := checked_text(options, 'group', 36, within);
        IF family !~ '^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$' THEN
            PERFORM refuse(within || 'group', 'must be a UUID', 'as notify answers it for several users');
        END IF;
    END IF;
    RETURN ROW(outbox_new_id(place), topic, key, data, deliver_at, deliver_by, priority, CASE WHEN trace ~
            '^(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}$' THEN trace END,
        actor, behalf, family, NULL, NULL, NULL, NULL)::asked_message;
END $$;

-- What `send` was given, checked.
CREATE FUNCTION sent_message(who allowance, topic text, data json, key text, options jsonb, within text, place integer)
    RETURNS asked_message LANGUAGE plpgsql AS $$
DECLARE
    parsed jsonb;
    kept json;
    kept_key text := key;
    words record;
BEGIN
    IF topic IS NULL OR topic <> ALL (who.registered) THEN
        PERFORM refuse(within || 'topic', format('no such topic: %s', left(topic, 255)),
            'registered: ' || (SELECT string_agg(t.name, ', ' ORDER BY t.name) FROM topics AS t));
    ELSIF topic <> ALL (who.topics) THEN
        PERFORM refuse(within || 'topic', format('%s may not send on %s', who.actor, topic),
            'an operator allows it in the table senders', '403');
    ELSIF length(key) NOT BETWEEN 1 AND 255 THEN
        PERFORM refuse(within || 'key', format('%s characters, the limits are 1 and 255', length(key)),
            'leave it out, or make it shorter');
    END IF;
    kept := checked_json(data, within || 'data', who.max_body);
    IF topic = 'notifications' THEN
        parsed := data::jsonb;
        IF coalesce(options ->> 'deliver_at', options ->> 'deliver_by', options ->> 'priority') IS NOT NULL THEN
            PERFORM refuse(within || 'options', 'dates and priority belong into data on the topic notifications',
                'put them into data, or call notify');
        END IF;
        words := checked_notification(parsed, data ->> 'priority', within || 'data.', within || 'data.', who.max_ahead);
        kept_key := checked_user(data ->> 'user_id', jsonb_typeof(parsed -> 'user_id') <> 'string',
            within || 'data.user_id');
        IF key <> kept_key THEN
            PERFORM refuse(within || 'key', 'must be data.user_id or absent on the topic notifications', 'leave it out');
        END IF;
        kept := ('{"user_id":' || to_json(kept_key) || words.rest)::json;
    ELSE
        words := checked_dates(options, options ->> 'priority', within || 'options.', who.max_ahead);
    END IF;
    RETURN message_to_accept(topic, kept_key, kept, options, within || 'options.', who.actor, words.deliver_at,
        words.deliver_by, words.priority, place);
END $$;

-- What was answered under this key of this owner, or null: then it is the first to use it, and notes its answer. Whoever
-- handles the key has its lock until his transaction ends, and is not waited for. (outbox/acceptance/idempotency.py)
CREATE FUNCTION answered_before(who allowance, options jsonb, within text, asked text, answer uuid) RETURNS uuid
    LANGUAGE plpgsql AS $$
DECLARE
    given text := options ->> 'idempotency_key';
    hashed uuid;
    print uuid;
    known record;
    at timestamptz;
BEGIN
    IF given IS NULL THEN
        RETURN NULL;
    ELSIF jsonb_typeof(options -> 'idempotency_key') <> 'string' OR given !~ '^[ -~]{1,255}$' THEN
        PERFORM refuse(within || 'idempotency_key', 'must be 1 to 255 printable ASCII characters', 'use a UUID as text');
    END IF;
    hashed := left(encode(sha256(convert_to(who.actor || E'\n' || given, 'UTF8')), 'hex'), 32)::uuid;
    print := left(encode(sha256(convert_to(asked, 'UTF8')), 'hex'), 32)::uuid;
    IF NOT pg_try_advisory_xact_lock(('x' || left(replace(hashed::text, '-', ''), 16))::bit(64)::bigint
            # (current_schema()::regnamespace::oid::bigint << 32)) THEN
        PERFORM refuse(within || 'idempotency_key', 'another transaction with this key is going on',
            'try again once it has ended', '409');
    END IF;
    at := clock_timestamp();
    SELECT k.fingerprint, k.ids INTO known
    FROM (SELECT * FROM idempotency_keys_even WHERE key = hashed
          UNION ALL SELECT * FROM idempotency_keys_odd WHERE key = hashed) AS k
    WHERE k.kept_until > at ORDER BY k.kept_until DESC LIMIT 1;
    IF known.fingerprint = print THEN
        RETURN known.ids[1];
    ELSIF known.fingerprint IS NOT NULL THEN
        PERFORM refuse(within || 'idempotency_key', 'this key belongs to another request',
            'take a new key, or pass the same arguments', '422');
    END IF;
    IF floor(extract(epoch FROM at) / (2 * who.idempotency_ttl))::bigint % 2 = 0 THEN
        INSERT INTO idempotency_keys_even VALUES (hashed, print, ARRAY[answer], at + make_interval(secs => who.idempotency_ttl))
        ON CONFLICT (key) DO UPDATE
            SET fingerprint = excluded.fingerprint, ids = excluded.ids, kept_until = excluded.kept_until;
    ELSE
        INSERT INTO idempotency_keys_odd VALUES (hashed, print, ARRAY[answer], at + make_interval(secs => who.idempotency_ttl))
        ON CONFLICT (key) DO UPDATE
            SET fingerprint = excluded.fingerprint, ids = excluded.ids, kept_until = excluded.kept_until;
    END IF;
    RETURN NULL;
END $$;

-- Writes what was checked, at the rate of its owner.
CREATE FUNCTION write_sent(who allowance, messages asked_message[]) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    drawn bigint;
    written record;
BEGIN
    IF who.counted IS NOT NULL THEN
        PERFORM keep_to_rate(who, cardinality(messages));
    END IF;
    drawn := nextval('sends');
    written := accept_these(messages, NULL);
END $$;
