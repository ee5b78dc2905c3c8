-- The moves that others may make in a transaction of their own: to accept and to cancel. All others are statements of
-- outbox/moves/; what follows from an event is there in door.py, and here once more for these.

-- A message as it is asked for; what is null is not given.
CREATE TYPE asked_message AS (id uuid, topic text, key text, data json, deliver_at timestamptz, deliver_by timestamptz,
    priority smallint, traceparent text, actor text, on_behalf_of text, group_id uuid, version integer, source text,
    request integer, again_of uuid);

-- What begins messages: the event in the log, the row in the projection and its queues, with the same date. `kind` is the
-- event; without one a caller asks, now or for later, and one message that cannot be stored fails all of them.
CREATE FUNCTION accept(asked json, kind text, OUT transaction_id xid8, OUT at timestamptz) LANGUAGE plpgsql
    SECURITY DEFINER SET search_path FROM CURRENT AS $$
BEGIN
    SELECT * INTO transaction_id, at
    FROM accept_these(ARRAY(SELECT m FROM json_populate_recordset(NULL::asked_message, asked) AS m), kind);
END $$;

-- The same of rows: JSON that is made and read again is a fifth of what accepting one costs.
CREATE FUNCTION accept_these(asked asked_message[], kind text, OUT transaction_id xid8, OUT at timestamptz)
    LANGUAGE plpgsql AS $$
BEGIN
    transaction_id := pg_current_xact_id();
    at := clock_timestamp();
    WITH opened AS MATERIALIZED (
        SELECT id, coalesce(version, 1) AS version,
               coalesce(kind, CASE WHEN deliver_at > at THEN 'message.scheduled' ELSE 'message.requested' END) AS type,
               topic, key, data, source, coalesce(request, CASE WHEN deliver_at > at THEN 0 ELSE 1 END) AS request,
               CASE WHEN deliver_at > at THEN deliver_at END AS due_at, deliver_by, priority, traceparent, actor,
               on_behalf_of, group_id, again_of
        FROM unnest(asked)
    ),
    logged AS (
        INSERT INTO outbox (stream_id, version, type, topic, key, data, payload, recorded_at)
        SELECT id, version, type,
               CASE type WHEN 'message.requested' THEN topic END,
               CASE type WHEN 'message.requested' THEN key END,
               data,
               jsonb_strip_nulls(jsonb_build_object(
                   'topic', CASE WHEN type <> 'message.requested' THEN topic END,
                   'key', CASE WHEN type <> 'message.requested' THEN key END,
                   'source', source,
                   'request', CASE WHEN type IN ('message.requested', 'message.recovered') THEN request END,
                   'cause', CASE type WHEN 'message.requested' THEN 'accepted' END,
                   'due_at', due_at, 'deliver_by', deliver_by, 'priority', priority, 'traceparent', traceparent,
                   'actor', actor, 'on_behalf_of', on_behalf_of, 'group_id', group_id, 'again_of', again_of)),
               at
        FROM opened
    ),
    projected AS (
        INSERT INTO messages (id, topic, key, data_version, event, traceparent, status, version, request, attempts,
                              due_at, deliver_by, priority, requested_in, accepted_at, updated_at, actor, group_id,
                              again_of)
        SELECT id, topic, key, version, CASE topic WHEN 'notifications' THEN left(data ->> 'event', 255) END,
               traceparent, CASE WHEN due_at IS NULL THEN 'pending' ELSE 'scheduled' END, version,
               request, 0, due_at, deliver_by, coalesce(priority, 5), transaction_id, at, at, actor, group_id,
               again_of
        FROM opened
    ),
    begun AS (
        INSERT INTO unfinished (id, deliver_by) SELECT id, deliver_by FROM opened
    )
    INSERT INTO waiting (id, topic, key, priority, request, due_at, accepted_at)
    SELECT id, topic, key, coalesce(priority, 5), request, due_at, at
    FROM opened WHERE due_at IS NOT NULL OR request > 1;
END $$;

-- What another producer wrote, or the database lost; what is known already is left out. Whoever adopts the same at the
-- same time is waited for: then it is known. Whatever else is there twice is an error: tried again, it would be for ever.
CREATE FUNCTION adopt(asked json, kind text) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
DECLARE
    unknown json;
    tried integer := json_array_length(asked) + 1;
BEGIN
    LOOP
        SELECT json_agg(one) INTO unknown FROM json_array_elements(asked) AS one
        WHERE NOT EXISTS (SELECT FROM messages WHERE id = (one ->> 'id')::uuid)
            AND NOT EXISTS (SELECT FROM outbox WHERE stream_id = (one ->> 'id')::uuid);
        IF unknown IS NULL THEN
            RETURN;
        END IF;
        BEGIN
            PERFORM accept(unknown, kind);
            RETURN;
        EXCEPTION WHEN unique_violation THEN
            IF json_array_length(unknown) >= tried THEN
                RAISE;
            END IF;
            tried := json_array_length(unknown);
        END;
    END LOOP;
END $$;

-- Whether an attempt may have reached somebody, also where a person's requeue counts anew. What was carried over has lost
-- its history.
CREATE FUNCTION may_have_arrived(message uuid) RETURNS boolean LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT EXISTS (
        SELECT FROM outbox WHERE stream_id = message AND type IN ('message.sent', 'message.failed', 'message.unknown',
            'message.dead_lettered', 'message.late', 'message.carried'))
$$;

-- Whether a message can be taken back: as long as no attempt to deliver it has begun.
CREATE FUNCTION can_be_taken_back(found messages) RETURNS boolean LANGUAGE sql STABLE
    RETURN is_unfinished(found.status) AND found.status NOT IN ('sending', 'failed')
        AND (found.attempts = 0 OR found.attempts = found.uncounted AND NOT may_have_arrived(found.id));

-- Takes back messages that the caller has locked, and then found that they can be.
CREATE FUNCTION take_back(those uuid[], actor text) RETURNS void LANGUAGE plpgsql
    SET search_path FROM CURRENT AS $$
DECLARE
    at CONSTANT timestamptz := clock_timestamp();
BEGIN
    WITH moved AS (
        UPDATE messages AS m SET version = m.version + 1, updated_at = at, status = 'cancelled', due_at = NULL
        WHERE m.id = ANY (those) RETURNING m.id, m.version
    )
    INSERT INTO outbox (stream_id, version, type, payload, recorded_at)
    SELECT id, version, 'message.cancelled', jsonb_strip_nulls(jsonb_build_object('actor', actor)), at
    FROM moved ORDER BY id;
    PERFORM leave_queues(those, those, NULL);
    INSERT INTO unsent (id, status) SELECT id, 'cancelled' FROM unnest(those) AS t(id)
        ON CONFLICT (id) DO UPDATE SET status = excluded.status, error = excluded.error;
END $$;

-- Whether one of these sent it; null: whoever did.
CREATE FUNCTION is_sent_by(actor text, whose text[]) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN whose IS NULL OR (actor = ANY (whose)) IS TRUE;

-- For the API, where many share a connection: nobody is waited for. Returns where the message stands then, and whether
-- another transaction holds it; null where there is no such message (on those topics, of one of those).
CREATE FUNCTION cancel_message(message uuid, on_topics text[], whose text[], actor text,
                               OUT status text, OUT attempts integer, OUT is_held boolean)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    found messages;
BEGIN
    SELECT * INTO found FROM messages AS m WHERE m.id = message AND m.topic = ANY (coalesce(on_topics, ARRAY[m.topic]))
            AND is_sent_by(m.actor, whose)
        FOR NO KEY UPDATE SKIP LOCKED;
    is_held := found.id IS NULL;
    IF is_held THEN
        SELECT m.status, m.attempts INTO status, attempts FROM messages AS m
            WHERE m.id = message AND m.topic = ANY (coalesce(on_topics, ARRAY[m.topic])) AND is_sent_by(m.actor, whose);
        RETURN;
    END IF;
    status := found.status;
    attempts := found.attempts;
    IF can_be_taken_back(found) THEN
        PERFORM take_back(ARRAY[message], actor);
        status := 'cancelled';
    END IF;
END $$;

-- What is over, as a new message that names it: with what the first carried last, at once, without a deadline and in no
-- group. No byte of the data changes: a notification's dates stay in there and count no more. Returns where the first
-- stands, and the new one's id; that is null where the first is not over, or its data lost, and both are where there is no
-- such message (on these topics, of one of those).
CREATE FUNCTION send_again(message uuid, on_topics text[], whose text[], who text, trace text, OUT status text, OUT again uuid)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    was record;
BEGIN
    SELECT m.*, o.data INTO was
    FROM messages AS m LEFT JOIN outbox AS o ON o.stream_id = m.id AND o.version = m.data_version
    WHERE m.id = message AND m.topic = ANY (coalesce(on_topics, ARRAY[m.topic])) AND is_sent_by(m.actor, whose);
    status := was.status;
    IF is_unfinished(status) OR was.data IS NULL THEN
        RETURN;
    END IF;
    again := outbox_new_id(0);
    PERFORM nextval('sends'), accept(json_build_array(json_build_object('id', again, 'topic', was.topic, 'key', was.key,
        'data', was.data, 'priority', was.priority, 'traceparent', trace, 'actor', who, 'again_of', message)), NULL);
END $$;

-- What a message was sent again as. A function, because its plan is kept with the connection.
CREATE FUNCTION sent_again(message uuid) RETURNS uuid[] LANGUAGE plpgsql STABLE SET search_path FROM CURRENT AS $$
BEGIN
    RETURN ARRAY(SELECT m.id FROM messages AS m WHERE m.again_of = message ORDER BY m.id);
END $$;
