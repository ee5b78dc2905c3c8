-- Roles named after the schema, none of which can log in: a login is made a member of what it does. Roles belong to the
-- whole cluster: Heralds in schemas of the same name, in other databases, share them. Nothing is executable by PUBLIC.

-- What each may do, and nothing else. `owner` has the functions that write for others; `reader` is for people.
CREATE VIEW wanted_grants AS
SELECT s.schema, s.schema || '_' || role AS role, kind, name, privilege
FROM (VALUES
    ('{owner,sender,api,relay,pipeline,reader}'::text[], 'SCHEMA', '', '{USAGE}'::text[]),
    ('{sender,relay}', 'FUNCTION', 'send(text, json, text, jsonb)', '{EXECUTE}'),
    ('{sender}', 'FUNCTION', 'notify(text[], text, text, jsonb)', '{EXECUTE}'),
    ('{sender}', 'FUNCTION', 'send_many(json)', '{EXECUTE}'),
    ('{sender}', 'FUNCTION', 'cancel(uuid)', '{EXECUTE}'),

    ('{owner,relay,pipeline}', 'TABLE', 'outbox', '{SELECT,INSERT}'),
    ('{api,reader}', 'TABLE', 'outbox', '{SELECT}'),
    ('{owner,relay,pipeline}', 'SEQUENCE', 'outbox_position', '{USAGE}'),
    ('{relay,reader}', 'SEQUENCE', 'outbox_position', '{SELECT}'),
    ('{owner}', 'SEQUENCE', 'sends', '{USAGE}'),
    ('{relay,reader}', 'SEQUENCE', 'sends', '{SELECT}'),
    ('{owner,relay,pipeline}', 'TABLE', 'messages', '{SELECT,INSERT,UPDATE}'),
    ('{api,reader}', 'TABLE', 'messages', '{SELECT}'),
    ('{owner,relay,pipeline}', 'TABLE', 'unfinished', '{SELECT,INSERT,UPDATE,DELETE}'),
    ('{owner,relay,pipeline}', 'TABLE', 'waiting', '{SELECT,INSERT,UPDATE,DELETE}'),
    ('{owner,relay,pipeline}', 'TABLE', 'unsent', '{SELECT,INSERT,UPDATE,DELETE}'),
    ('{relay,pipeline}', 'TABLE', 'leases', '{SELECT,INSERT,UPDATE,DELETE}'),
    ('{api,reader}', 'TABLE', 'unfinished', '{SELECT}'),
    ('{api,reader}', 'TABLE', 'waiting', '{SELECT}'),
    ('{api,reader}', 'TABLE', 'unsent', '{SELECT}'),
    ('{api,reader}', 'TABLE', 'leases', '{SELECT}'),
    ('{relay,reader}', 'TABLE', 'queue_differences', '{SELECT}'),
    ('{api,relay,reader}', 'TABLE', 'notifications', '{SELECT}'),

    ('{relay}', 'TABLE', 'relay_cursor', '{SELECT,INSERT,UPDATE}'),
    ('{api,pipeline,reader}', 'TABLE', 'relay_cursor', '{SELECT}'),
    ('{relay}', 'TABLE', 'relay_pages', '{SELECT,INSERT,UPDATE,DELETE,TRUNCATE}'),
    ('{reader}', 'TABLE', 'relay_pages', '{SELECT}'),
    ('{relay}', 'TABLE', 'relay_withheld', '{SELECT,INSERT,UPDATE,DELETE}'),
    ('{api,reader}', 'TABLE', 'relay_withheld', '{SELECT}'),
    ('{relay}', 'TABLE', 'set_aside', '{SELECT,INSERT,UPDATE,DELETE}'),
    ('{api,pipeline,reader}', 'TABLE', 'set_aside', '{SELECT}'),
    ('{relay,pipeline}', 'TABLE', 'breakers', '{SELECT,INSERT,UPDATE,DELETE}'),
    ('{api,reader}', 'TABLE', 'breakers', '{SELECT}'),
    ('{api,relay}', 'TABLE', 'pauses', '{SELECT,INSERT,UPDATE,DELETE}'),
    ('{pipeline,reader}', 'TABLE', 'pauses', '{SELECT}'),
    ('{api,relay}', 'TABLE', 'requeues', '{SELECT,INSERT,UPDATE,DELETE}'),
    ('{reader}', 'TABLE', 'requeues', '{SELECT}'),
    ('{relay}', 'TABLE', 'closing', '{SELECT,UPDATE}'),
    ('{api,pipeline,reader}', 'TABLE', 'closing', '{SELECT}'),
    ('{relay,reader}', 'TABLE', 'closing_changes', '{SELECT}'),
    ('{api,relay,pipeline,reader}', 'TABLE', 'partitions', '{SELECT}'),
    ('{owner,api}', 'TABLE', 'idempotency_keys_even', '{SELECT,INSERT,UPDATE}'),
    ('{owner,api}', 'TABLE', 'idempotency_keys_odd', '{SELECT,INSERT,UPDATE}'),
    ('{relay}', 'TABLE', 'idempotency_keys_even', '{SELECT,TRUNCATE}'),
    ('{relay}', 'TABLE', 'idempotency_keys_odd', '{SELECT,TRUNCATE}'),
    ('{api,relay,pipeline,reader}', 'TABLE', 'event_types', '{SELECT}'),
    ('{api,relay,pipeline,reader}', 'TABLE', 'wanted_grants', '{SELECT}'),
    ('{api,relay,pipeline,reader}', 'TABLE', 'role_statements', '{SELECT}'),
    ('{api,relay,pipeline}', 'TABLE', 'instance', '{SELECT,UPDATE}'),
    ('{reader}', 'TABLE', 'instance', '{SELECT}'),
    ('{api,relay,pipeline,reader}', 'TABLE', 'alembic_version', '{SELECT}'),
    ('{owner}', 'TABLE', 'allowance', '{SELECT}'),
    ('{reader}', 'TABLE', 'senders', '{SELECT}'),
    ('{reader}', 'TABLE', 'sender_rates', '{SELECT}'),
    ('{api,reader}', 'TABLE', 'api_keys', '{SELECT}'),
    ('{api}', 'TABLE', 'api_key_changes', '{SELECT}'),
    ('{api}', 'TABLE', 'api_key_uses', '{SELECT,INSERT,UPDATE}'),
    ('{reader}', 'TABLE', 'api_key_uses', '{SELECT}'),
    ('{owner,reader}', 'TABLE', 'topics', '{SELECT}'),
    ('{owner,reader}', 'TABLE', 'channels', '{SELECT}'),
    ('{reader}', 'TABLE', 'limits', '{SELECT}'),
    ('{api,relay,pipeline}', 'TABLE', 'topics', '{SELECT,INSERT}'),
    ('{api,relay,pipeline}', 'TABLE', 'channels', '{SELECT,INSERT}'),
    ('{api,relay,pipeline}', 'TABLE', 'limits', '{SELECT,UPDATE}'),

    ('{api,relay,pipeline}', 'FUNCTION', 'accept(json, text)', '{EXECUTE}'),
    ('{api,relay}', 'FUNCTION', 'cancel_message(uuid, text[], text[], text)', '{EXECUTE}'),
    ('{api,relay}', 'FUNCTION', 'cancel_group(uuid, uuid, text, text[], text[])', '{EXECUTE}'),
    ('{api,relay}', 'FUNCTION', 'send_again(uuid, text[], text[], text, text)', '{EXECUTE}'),
    ('{api,relay}', 'FUNCTION', 'requeue(uuid[], text)', '{EXECUTE}'),
    ('{api,relay}', 'FUNCTION', 'edit(uuid[], json, text)', '{EXECUTE}'),
    ('{api,relay}', 'FUNCTION', 'discard(uuid[], text, text)', '{EXECUTE}'),
    ('{relay,pipeline}', 'FUNCTION', 'adopt(json, text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'cancel_together(uuid, text, text[])', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'is_sent_by(text, text[])', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'refuse_cancel(text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'can_be_taken_back(messages)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'take_back(uuid[], text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'may_have_arrived(uuid)', '{EXECUTE}'),
    ('{owner,relay,pipeline}', 'FUNCTION', 'leave_queues(uuid[], uuid[], uuid[])', '{EXECUTE}'),
    ('{owner,api,relay,pipeline,reader}', 'FUNCTION', 'has_date(text)', '{EXECUTE}'),
    ('{owner,api,relay,pipeline,reader}', 'FUNCTION', 'is_unfinished(text)', '{EXECUTE}'),
    ('{owner,api,relay,pipeline,reader}', 'FUNCTION', 'is_waiting(text, integer)', '{EXECUTE}'),
    ('{owner,api,relay,pipeline,reader}', 'FUNCTION', 'line_of(text, text, text, text, text, smallint)', '{EXECUTE}'),
    ('{owner,api,relay,pipeline,reader}', 'FUNCTION', 'is_unsent(text)', '{EXECUTE}'),
    ('{owner,api,relay,pipeline,reader}', 'FUNCTION', 'desk_error(text, text)', '{EXECUTE}'),
    ('{api,relay,pipeline,reader}', 'FUNCTION', 'outbox_time_of(uuid)', '{EXECUTE}'),
    ('{api,relay,reader}', 'FUNCTION', 'sent_again(uuid)', '{EXECUTE}'),
    ('{api,relay,pipeline,reader}', 'FUNCTION', 'outbox_first_id(timestamptz)', '{EXECUTE}'),
    ('{api,relay,pipeline,reader}', 'FUNCTION', 'instance_here()', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'instance_takes_place(boolean)', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'queues_follow(uuid[])', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'outbox_make_partitions(interval, timestamptz)', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'outbox_cut_widest(interval, timestamptz, bigint)', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'closing_begin(timestamptz, integer)', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'closing_copy(integer)', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'closing_catch_up()', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'closing_finish()', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'closing_abandon()', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'idempotency_keys_are_expired(regclass)', '{EXECUTE}'),
    ('{relay}', 'FUNCTION', 'idempotency_keys_empty(regclass)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'accept_these(asked_message[], text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'sender_rate_counter(text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'keep_to_rate(allowance, integer)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'write_sent(allowance, asked_message[])', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'refuse(text, text, text, text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'digits_written_out(text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'is_nested_deeper(text, integer)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'parsed_json(json, text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'checked_json(json, text, integer)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'checked_text(jsonb, text, integer, text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'checked_date(jsonb, text, text, double precision)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'checked_dates(jsonb, text, text, double precision)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'checked_fields(jsonb, text[], text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'checked_notification(jsonb, text, text, text, double precision)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'checked_user(text, boolean, text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'checked_options(jsonb, text[], text)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'outbox_new_id(integer)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'answered_before(allowance, jsonb, text, text, uuid)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'sent_message(allowance, text, json, text, jsonb, text, integer)', '{EXECUTE}'),
    ('{owner}', 'FUNCTION', 'message_to_accept(text, text, json, jsonb, text, text, timestamptz, timestamptz, smallint,'
        ' integer)', '{EXECUTE}')
    UNION ALL
    SELECT '{owner}', 'SEQUENCE', relname::text, '{USAGE,UPDATE}'
    FROM pg_class WHERE relkind = 'S' AND starts_with(relname, 'sender_rate_')
        AND relnamespace = (SELECT relnamespace FROM pg_class WHERE oid = 'outbox'::regclass)
) AS wanted(roles, kind, name, privileges)
CROSS JOIN LATERAL unnest(roles) AS role CROSS JOIN LATERAL unnest(privileges) AS privilege
CROSS JOIN (SELECT relnamespace::regnamespace::text AS schema FROM pg_class WHERE oid = 'outbox'::regclass) AS s;

-- The statements that make it so, in order; the migration runs those that it may, `herald roles` prints them all. What
-- writes for senders and for the API belongs to the owner: `function` is which.
CREATE VIEW role_statements AS
SELECT DISTINCT 1 AS step, role, format('CREATE ROLE %I NOLOGIN', role) AS statement, NULL AS function FROM wanted_grants
UNION ALL
SELECT 2, role, format('GRANT %s ON %s %s TO %I', string_agg(privilege, ', ' ORDER BY privilege), kind,
    CASE kind WHEN 'SCHEMA' THEN schema ELSE schema || '.' || name END, role), NULL
FROM wanted_grants GROUP BY schema, role, kind, name
UNION ALL
SELECT step, owner, format(text, schema, owner, name), name
FROM (SELECT DISTINCT schema, schema || '_owner' AS owner FROM wanted_grants) AS o, (
    VALUES (3, 'GRANT CREATE ON SCHEMA %1$I TO %2$I', NULL), (5, 'REVOKE CREATE ON SCHEMA %1$I FROM %2$I', NULL)
    UNION
    SELECT 4, 'ALTER FUNCTION %1$I.%3$s OWNER TO %2$I', name
    FROM wanted_grants JOIN pg_proc AS p ON p.oid = to_regprocedure(CASE kind WHEN 'FUNCTION' THEN name END)
    WHERE prosecdef AND role IN (schema || '_sender', schema || '_api')
) AS given(step, text, name);

DO $$
DECLARE
    owner text := current_schema() || '_owner';
    taken text;
    may_make boolean;
    made record;
BEGIN
    SELECT string_agg(rolname, ', ' ORDER BY rolname) INTO taken FROM pg_roles
    WHERE rolcanlogin AND rolname IN (SELECT role FROM wanted_grants);
    IF taken IS NOT NULL THEN  -- a login of somebody's who would have Herald's rights without a word
        RAISE EXCEPTION '% can log in, and would be a role of Herald''s by its name', taken
            USING HINT = 'choose another HERALD_SCHEMA, or rename the login and make it a member of what it does';
    END IF;
    EXECUTE format('REVOKE ALL ON ALL FUNCTIONS IN SCHEMA %I FROM PUBLIC', current_schema());
    SELECT rolsuper OR rolcreaterole INTO may_make FROM pg_roles WHERE rolname = current_user;
    FOR made IN SELECT * FROM role_statements WHERE step = 1 AND may_make ORDER BY role LOOP
        BEGIN
            EXECUTE made.statement;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- another database has it
        END;
    END LOOP;
    FOR made IN SELECT s.* FROM role_statements AS s JOIN pg_roles ON rolname = s.role WHERE step = 2 LOOP
        EXECUTE made.statement;
    END LOOP;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = owner) THEN
        RETURN;
    END IF;
    BEGIN  -- all of it or nothing: the functions stay whose they are
        IF NOT (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) THEN
            EXECUTE format('GRANT %I TO CURRENT_USER', owner);  -- who makes a role may not act as it from PostgreSQL 16 on
        END IF;
        FOR made IN SELECT * FROM role_statements WHERE step > 2 ORDER BY step LOOP
            EXECUTE made.statement;
        END LOOP;
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE '% may not give functions to %: `herald roles` prints the statements', current_user, owner;
    END;
END $$;
