-- Everything that the others make. The version of Alembic stays, and the schema, which may have been made by somebody
-- else.

SELECT closing_abandon();
DROP VIEW role_statements, wanted_grants, notifications, queue_differences, due_in_unfinished, due_in_waiting,
    due_in_unsent, due_in_leases, partitions;
DROP FUNCTION discard(uuid[], text, text), edit(uuid[], json, text), requeue(uuid[], text),
    cancel(uuid), notify(text[], text, text, jsonb), send_many(json), send(text, json, text, jsonb),
    write_sent(allowance, asked_message[]), answered_before(allowance, jsonb, text, text, uuid),
    sent_message(allowance, text, json, text, jsonb, text, integer),
    message_to_accept(text, text, json, jsonb, text, text, timestamptz, timestamptz, smallint, integer),
    checked_options(jsonb, text[], text), outbox_new_id(integer), checked_user(text, boolean, text),
    checked_notification(jsonb, text, text, text, double precision), checked_fields(jsonb, text[], text),
    checked_dates(jsonb, text, text, double precision), checked_date(jsonb, text, text, double precision),
    checked_text(jsonb, text, integer, text), checked_json(json, text, integer), parsed_json(json, text),
    is_nested_deeper(text, integer), digits_written_out(text), refuse(text, text, text, text),
    keep_to_rate(allowance, integer), cancel_together(uuid, text, text[]), refuse_cancel(text),
    cancel_group(uuid, uuid, text, text[], text[]), cancel_message(uuid, text[], text[], text), take_back(uuid[], text),
    can_be_taken_back(messages), sent_again(uuid), send_again(uuid, text[], text[], text, text), is_sent_by(text, text[]);
DROP VIEW allowance;
DROP TABLE api_keys, api_key_uses, api_key_changes, sender_rates, senders, topics, channels, limits, instance, closing_changes, closing, requeues, idempotency_keys_odd,
    idempotency_keys_even, pauses, breakers, set_aside, relay_withheld, relay_pages, relay_cursor, unfinished, waiting, unsent, leases, messages, outbox,
    event_types;
DROP SEQUENCE outbox_position, sends;
DO $$
DECLARE
    counter text;
BEGIN
    FOR counter IN SELECT relname FROM pg_class WHERE relkind = 'S' AND starts_with(relname, 'sender_rate_')
            AND relnamespace = current_schema()::regnamespace LOOP
        EXECUTE format('DROP SEQUENCE %I', counter);
    END LOOP;
END $$;
DROP FUNCTION sender_rate_gets_its_counter(), sender_rate_counter(text), instance_takes_place(boolean), instance_here(),
    closing_abandon(), closing_finish(), closing_is_unpublished(uuid), closing_catch_up(), closing_copy(integer),
    closing_carry(uuid[]), closing_keeps(text, timestamptz, timestamptz), closing_begin(timestamptz, integer),
    closing_table(text, uuid), closing_note_change(),
    idempotency_keys_empty(regclass), idempotency_keys_are_expired(regclass),
    outbox_cut_widest(interval, timestamptz, bigint), outbox_cut_of(timestamptz, uuid, interval, timestamptz),
    outbox_make_partitions(interval, timestamptz), outbox_reach(timestamptz, interval),
    outbox_add_partition(text, uuid, uuid), outbox_next_bound(timestamptz, interval), outbox_time_of(uuid),
    outbox_first_id(timestamptz),
    may_have_arrived(uuid), adopt(json, text), accept(json, text), accept_these(asked_message[], text),
    queues_follow(uuid[]), leave_queues(uuid[], uuid[], uuid[]), desk_error(text, text), is_unsent(text),
    line_of(text, text, text, text, text, smallint),
    is_waiting(text, integer), is_unfinished(text), has_date(text),
    api_keys_note_change(), outbox_allow_event(text, integer, text), outbox_note_size(), outbox_refuse_change();
DROP TYPE asked_message;

-- Roles belong to the whole cluster: one that another database uses, or that has members, stays.
DO $$
DECLARE
    gone text;
BEGIN
    FOR gone IN
        SELECT rolname FROM pg_roles
        WHERE rolname = ANY (ARRAY(SELECT current_schema() || '_' || r
            FROM unnest('{owner,sender,api,relay,pipeline,reader}'::text[]) AS r))
    LOOP
        EXECUTE format('REVOKE ALL ON SCHEMA %I FROM %I', current_schema(), gone);
        EXECUTE format('REVOKE ALL ON alembic_version FROM %I', gone);
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_auth_members
                    WHERE roleid = gone::regrole AND member <> current_user::regrole) THEN
                EXECUTE format('DROP ROLE %I', gone);
            END IF;
        EXCEPTION WHEN dependent_objects_still_exist OR insufficient_privilege OR object_in_use THEN
            NULL;
        END;
    END LOOP;
END $$;
