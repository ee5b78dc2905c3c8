-- Sending in the caller's own transaction: what commits is delivered, what is rolled back never was. No function here
-- waits: not for a process, not for a row, not for a unique index.

-- A message for any registered topic, as POST /messages takes it. Returns its id.
CREATE FUNCTION send(topic text, data json, key text DEFAULT NULL, options jsonb DEFAULT '{}') RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    given jsonb := checked_options(options, '{}', 'options.');
    who allowance;
    made asked_message;
    before uuid;
BEGIN
    SELECT * INTO who FROM allowance;
    made := sent_message(who, topic, data, key, given, '', 0);
    IF given ? 'idempotency_key' THEN
        before := answered_before(who, given, 'options.', concat_ws(E'\n', 'send', topic, key, data, given), made.id);
        IF before IS NOT NULL THEN
            RETURN before;
        END IF;
    END IF;
    PERFORM write_sent(who, ARRAY[made]);
    RETURN made.id;
END $$;

-- Many messages, all or none: a JSON array of up to 1,000 objects with the arguments of `send`. Returns their ids, in
-- order.
CREATE FUNCTION send_many(messages json) RETURNS SETOF uuid LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT AS $$
DECLARE
    most CONSTANT integer := 1000;
    one json;
    given jsonb;
    topic text;
    key text;
    place integer := 0;
    within text;
    made asked_message;
    answer uuid;
    fresh asked_message[] := '{}';
    together CONSTANT uuid := outbox_new_id(0);
    who allowance;
BEGIN
    SELECT * INTO who FROM allowance;
    IF octet_length(messages::text) > who.max_bulk_body THEN
        PERFORM refuse('messages', format('%s bytes, the limit is %s', octet_length(messages::text),
            who.max_bulk_body), 'send them in several calls (HERALD_MAX_BULK_BODY)', '413');
    ELSIF coalesce(json_typeof(messages), 'null') <> 'array' OR json_array_length(messages) NOT BETWEEN 1 AND most THEN
        PERFORM refuse('messages', format('must be an array of 1 to %s', most), 'send them in several calls');
    END IF;
    FOR one IN SELECT value FROM json_array_elements(messages) LOOP
        within := format('messages[%s].', place);
        IF json_typeof(one) <> 'object' THEN
            PERFORM refuse(rtrim(within, '.'), 'must be a JSON object', 'with topic and data, as send takes them');
        END IF;
        BEGIN
            SELECT coalesce(jsonb_object_agg(k, CASE k WHEN 'data' THEN 'null' ELSE parsed_json(v, within || k) END), '{}')
            INTO given FROM json_each(one) AS e(k, v);
        EXCEPTION WHEN data_exception THEN
            PERFORM parsed_json(one, rtrim(within, '.'));  -- which refuses it as well: NUL, half of a surrogate pair
        END;
        PERFORM checked_fields(given, ARRAY['topic', 'data', 'key', 'options'], within);
        topic := checked_text(given, 'topic', 255, within);
        key := checked_text(given, 'key', 255, within);
        given := checked_options(given -> 'options', '{}', within || 'options.');
        made := sent_message(who, topic, one -> 'data', key, CASE WHEN json_array_length(messages) > 1
            THEN jsonb_build_object('group', together) || given ELSE given END, within, place);
        answer := answered_before(who, given, within || 'options.',
            concat_ws(E'\n', 'send', topic, key, one -> 'data', given), made.id);
        IF answer IS NULL THEN
            fresh := fresh || made;
        END IF;
        place := place + 1;
        RETURN NEXT coalesce(answer, made.id);
    END LOOP;
    IF fresh <> '{}' THEN
        PERFORM write_sent(who, fresh);
    END IF;
END $$;

-- A notification for each user: the id of the message, or that of the group where there are several.
CREATE FUNCTION notify(user_ids text[], event text, content text, options jsonb DEFAULT '{}') RETURNS uuid
    LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    most CONSTANT integer := 1000;
    own CONSTANT text[] := ARRAY['channel', 'address', 'subject'];
    given jsonb := checked_options(options, own, 'options.');
    who allowance;
    user_id text;
    words record;
    made asked_message;
    answer uuid;
    before uuid;
    messages asked_message[] := '{}';
BEGIN
    SELECT * INTO who FROM allowance;
    IF coalesce(array_ndims(user_ids), 0) <> 1 OR cardinality(user_ids) > most THEN
        PERFORM refuse('user_ids', format('takes 1 to %s users', most), 'call it several times');
    ELSIF 'notifications' <> ALL (who.topics) THEN
        PERFORM refuse('topic', format('%s may not send on notifications', who.actor),
            'an operator allows it in the table senders', '403');
    ELSIF cardinality(user_ids) > 1 THEN
        IF EXISTS (SELECT FROM unnest(user_ids) AS u GROUP BY u HAVING count(*) > 1) THEN
            PERFORM refuse('user_ids', 'a user stands there twice', 'name each once');
        END IF;
    END IF;
    FOR place IN 1..cardinality(user_ids) LOOP
        user_id := checked_user(user_ids[array_lower(user_ids, 1) + place - 1], false, format('user_ids[%s]', place));
    END LOOP;
    words := checked_notification(jsonb_build_object('user_id', '-', 'event', event, 'content', content)
        || (given - ARRAY['idempotency_key', 'traceparent', 'group', 'actor']), given ->> 'priority', '', 'options.',
        who.max_ahead);
    IF octet_length(words.rest) > who.max_body THEN
        PERFORM refuse('content', format('%s bytes, the limit is %s', octet_length(words.rest), who.max_body),
            'put what is large elsewhere and send where it is (HERALD_MAX_BODY)', '413');
    ELSIF octet_length(words.rest)::bigint * cardinality(user_ids) > who.max_bulk_body THEN
        PERFORM refuse('user_ids', format('the notifications of all users exceed %s bytes', who.max_bulk_body),
            'call it several times (HERALD_MAX_BULK_BODY)', '413');
    END IF;
    answer := outbox_new_id(0);
    IF cardinality(user_ids) > 1 AND given ->> 'group' IS NULL THEN
        given := given || jsonb_build_object('group', answer);
    END IF;
    FOR place IN 1..cardinality(user_ids) LOOP
        made := message_to_accept('notifications', user_ids[array_lower(user_ids, 1) + place - 1],
            ('{"user_id":' || to_json(user_ids[array_lower(user_ids, 1) + place - 1]) || words.rest)::json, given,
            'options.', who.actor, words.deliver_at, words.deliver_by, words.priority, place);
        messages := messages || made;
    END LOOP;
    answer := CASE WHEN cardinality(user_ids) = 1 THEN made.id ELSE (given ->> 'group')::uuid END;
    IF given ? 'idempotency_key' THEN
        before := answered_before(who, given, 'options.',
            concat_ws(E'\n', 'notify', user_ids, event, content, options), answer);
        IF before IS NOT NULL THEN
            RETURN before;
        END IF;
    END IF;
    PERFORM write_sent(who, messages);
    RETURN answer;
END $$;

-- Takes back what was not tried yet: whether nothing will be delivered. False where it is too late, where somebody is just
-- moving it, and where there is no such message: nobody is waited for, and a message that stays is let go of at once. Of a
-- group all is taken back that can be. Pruning is off for the sake of PostgreSQL 18 (outbox/postgres/session_settings.py).
CREATE FUNCTION cancel(id uuid) RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT SET enable_partition_pruning = off AS $$
DECLARE
    who allowance;
    found messages;
    is_cancelled boolean := false;
BEGIN
    SELECT * INTO who FROM allowance;
    SELECT * INTO found FROM messages AS m WHERE m.id = cancel.id FOR NO KEY UPDATE SKIP LOCKED;
    IF found.id IS NULL THEN
        RETURN cancel_together(cancel.id, who.actor, CASE who.cancels WHEN 'own' THEN ARRAY[who.actor] END);
    ELSIF who.cancels = 'own' AND found.actor IS DISTINCT FROM who.actor THEN
        PERFORM refuse_cancel(who.actor);
    ELSIF can_be_taken_back(found) THEN
        PERFORM take_back(ARRAY[found.id], who.actor);
        RETURN true;
    END IF;
    is_cancelled := found.status = 'cancelled';
    RAISE SQLSTATE 'ZH001';  -- all that was done here is undone, the lock too; ZH000 would mean the whole class
EXCEPTION
    WHEN SQLSTATE 'ZH001' THEN
        RETURN is_cancelled;
    WHEN serialization_failure THEN
        RETURN false;  -- it moved since this transaction took its snapshot
END $$;
