-- What a person decides on the desk, for the API, whose role writes nothing itself: statements of outbox/moves/decide.py as
-- `herald sql` prints them. Each returns the ids of those that were on the desk.

CREATE FUNCTION requeue(ids uuid[], actor text) RETURNS SETOF uuid LANGUAGE sql SECURITY DEFINER
    SET search_path FROM CURRENT AS $$
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
locked AS MATERIALIZED (
    SELECT id, topic, request, accepted_at FROM messages
    WHERE id = ANY ($1::uuid[]) AND status IN ('dead', 'unknown')
    ORDER BY id FOR NO KEY UPDATE
),
decided AS MATERIALIZED (
    SELECT id, 'message.requested' AS type,
           jsonb_build_object('request', request + 1, 'cause', 'requeued', 'actor', $2::text) AS payload,
           topic AS publish_to, row_number() OVER (ORDER BY accepted_at, id) AS place
    FROM locked
),
moved AS (
    UPDATE messages AS m
    SET version = m.version + 1, updated_at = clock.at,
        status = 'pending',
        due_at = NULL,
        request = (d.payload ->> 'request')::integer,
        requested_in = pg_current_xact_id(),
        uncounted = m.attempts,
        unknowns = 0,
        deliver_by = NULL
    FROM decided AS d, clock
    WHERE m.id = ANY (ARRAY(SELECT id FROM decided)) AND m.id = d.id
    RETURNING m.id, m.version, m.status, m.attempts, m.uncounted, m.unknowns, m.destination, m.accepted_at,
        m.updated_at, m.topic, m.key, m.priority, m.request, m.due_at, m.deliver_by, m.reason, m.reason_code,
        d.type, d.publish_to, d.place, NULL::json AS data,
        CASE d.type WHEN 'message.requested' THEN jsonb_strip_nulls(d.payload
                || jsonb_build_object('data_version', m.data_version, 'traceparent', m.traceparent))
            ELSE d.payload END AS payload
),
left_queues AS MATERIALIZED (SELECT leave_queues(NULL::uuid[], NULL::uuid[], array_agg(id) FILTER (WHERE NOT is_unsent(status))) FROM moved),
logged AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, data, payload, recorded_at)
    SELECT id, version, type, publish_to, CASE WHEN publish_to IS NOT NULL THEN key END, data, payload, updated_at
    FROM moved, left_queues ORDER BY place, id
),
begun_anew AS (
    INSERT INTO unfinished (id, deliver_by) SELECT id, deliver_by FROM moved WHERE is_unfinished(status)
    ON CONFLICT (id) DO UPDATE SET deliver_by = excluded.deliver_by
),
waits AS (
    INSERT INTO waiting (id, topic, key, destination, priority, request, due_at, accepted_at, line)
    SELECT id, topic, key, destination, priority, request, CASE WHEN has_date(status) THEN due_at END,
           accepted_at, line_of(status, reason_code, topic, key, destination, priority) FROM moved
    WHERE is_waiting(status, request)
    ON CONFLICT (id) DO UPDATE SET destination = excluded.destination, request = excluded.request,
        due_at = excluded.due_at, line = excluded.line
)
SELECT id FROM moved
$$;

CREATE FUNCTION edit(ids uuid[], edited json, actor text) RETURNS SETOF uuid LANGUAGE sql SECURITY DEFINER
    SET search_path FROM CURRENT AS $$
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
locked AS MATERIALIZED (
    SELECT id, topic, request, accepted_at FROM messages
    WHERE id = ANY ($1::uuid[]) AND status IN ('dead', 'unknown')
    ORDER BY id FOR NO KEY UPDATE
),
decided AS MATERIALIZED (
    SELECT id, 'message.edited' AS type,
           jsonb_strip_nulls(jsonb_build_object('key', key, 'actor', $3::text)) AS payload, data,
           NULL AS publish_to, 0 AS place
    FROM locked, json_to_record($2::json) AS e(data json, key text)
),
moved AS (
    UPDATE messages AS m
    SET version = m.version + 1, updated_at = clock.at,
        key = d.payload ->> 'key',
        data_version = m.version + 1,
        event = CASE m.topic WHEN 'notifications' THEN left(d.data ->> 'event', 255) END
    FROM decided AS d, clock
    WHERE m.id = ANY (ARRAY(SELECT id FROM decided)) AND m.id = d.id
    RETURNING m.id, m.version, m.status, m.attempts, m.uncounted, m.unknowns, m.destination, m.accepted_at,
        m.updated_at, m.topic, m.key, m.priority, m.request, m.due_at, m.deliver_by, m.reason, m.reason_code,
        d.type, d.publish_to, d.place, d.data AS data,
        CASE d.type WHEN 'message.requested' THEN jsonb_strip_nulls(d.payload
                || jsonb_build_object('data_version', m.data_version, 'traceparent', m.traceparent))
            ELSE d.payload END AS payload
),
logged AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, data, payload, recorded_at)
    SELECT id, version, type, publish_to, CASE WHEN publish_to IS NOT NULL THEN key END, data, payload, updated_at
    FROM moved ORDER BY place, id
)
SELECT id FROM moved
$$;

CREATE FUNCTION discard(ids uuid[], why text, actor text) RETURNS SETOF uuid LANGUAGE sql SECURITY DEFINER
    SET search_path FROM CURRENT AS $$
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
locked AS MATERIALIZED (
    SELECT id, topic, request, accepted_at FROM messages
    WHERE id = ANY ($1::uuid[]) AND status IN ('dead', 'unknown')
    ORDER BY id FOR NO KEY UPDATE
),
decided AS MATERIALIZED (
    SELECT id, 'message.discarded' AS type, jsonb_strip_nulls(jsonb_build_object('reason', $2::text,
               'code', 'discarded_by_person', 'actor', $3::text)) AS payload,
           NULL AS publish_to, 0 AS place
    FROM locked
),
moved AS (
    UPDATE messages AS m
    SET version = m.version + 1, updated_at = clock.at,
        status = 'discarded',
        reason = d.payload ->> 'reason',
        reason_code = d.payload ->> 'code'
    FROM decided AS d, clock
    WHERE m.id = ANY (ARRAY(SELECT id FROM decided)) AND m.id = d.id
    RETURNING m.id, m.version, m.status, m.attempts, m.uncounted, m.unknowns, m.destination, m.accepted_at,
        m.updated_at, m.topic, m.key, m.priority, m.request, m.due_at, m.deliver_by, m.reason, m.reason_code,
        d.type, d.publish_to, d.place, NULL::json AS data,
        CASE d.type WHEN 'message.requested' THEN jsonb_strip_nulls(d.payload
                || jsonb_build_object('data_version', m.data_version, 'traceparent', m.traceparent))
            ELSE d.payload END AS payload
),
left_queues AS MATERIALIZED (SELECT leave_queues(array_agg(id) FILTER (WHERE NOT is_unfinished(status)), array_agg(id) FILTER (WHERE NOT is_waiting(status, request)), NULL::uuid[]) FROM moved),
logged AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, data, payload, recorded_at)
    SELECT id, version, type, publish_to, CASE WHEN publish_to IS NOT NULL THEN key END, data, payload, updated_at
    FROM moved, left_queues ORDER BY place, id
),
not_sent AS (
    INSERT INTO unsent (id, status, error) SELECT id, status, desk_error(status, reason) FROM moved
    WHERE is_unsent(status)
    ON CONFLICT (id) DO UPDATE SET status = excluded.status, error = excluded.error
)
SELECT id FROM moved
$$;
