-- Who sends by SQL, in a transaction of his own (send.sql), what can be sent, and how much of it.

-- Without a row a login is an owner of its own, who sends on every topic and cancels what it sent. An owner outlives
-- the logins: what was sent, and the idempotency keys, belong to it.
CREATE TABLE senders (
    login text NOT NULL,  -- the session_user
    owner text NOT NULL,
    topics text[],  -- null: every one
    cancels text NOT NULL DEFAULT 'own',
    CONSTRAINT senders_one_row_per_login PRIMARY KEY (login),
    CONSTRAINT senders_owner_is_a_name CHECK (length(owner) BETWEEN 1 AND 255),
    CONSTRAINT senders_cancel_their_own_or_any CHECK (cancels IN ('own', 'any'))
);

-- So many messages a second may an owner send, and `burst` of them at once; without a row as many as it likes. A change
-- counts from the next call on, and waits for no sender.
CREATE TABLE sender_rates (
    owner text NOT NULL,
    per_second double precision NOT NULL,
    burst integer NOT NULL,
    CONSTRAINT sender_rates_one_row_per_owner PRIMARY KEY (owner),
    CONSTRAINT sender_rates_are_positive CHECK (per_second BETWEEN 0.001 AND 1000000 AND burst BETWEEN 1 AND 1000000)
);

-- The sequence that counts for an owner, by its name. It stays when the row leaves: dropping it would wait for those who
-- have drawn, and hold up those who come.
CREATE FUNCTION sender_rate_counter(owner text) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN 'sender_rate_' || left(encode(sha256(convert_to(owner, 'UTF8')), 'hex'), 16);

CREATE FUNCTION sender_rate_gets_its_counter() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT AS $$
DECLARE
    counter CONSTANT text := sender_rate_counter(NEW.owner);
    writer CONSTANT text := current_schema() || '_owner';
BEGIN
    IF to_regclass(counter) IS NULL THEN
        EXECUTE format('CREATE SEQUENCE %I.%I', current_schema(), counter);
        IF to_regrole(writer) IS NOT NULL THEN
            EXECUTE format('GRANT USAGE, UPDATE ON SEQUENCE %I TO %I', counter, writer);
        END IF;
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER sender_rate_has_its_counter BEFORE INSERT OR UPDATE OF owner ON sender_rates
    FOR EACH ROW EXECUTE FUNCTION sender_rate_gets_its_counter();

-- What processes know, and their settings: each notes it when it starts (outbox/postgres/registered.py).
CREATE TABLE topics (
    name text NOT NULL,
    CONSTRAINT topics_once PRIMARY KEY (name),
    CONSTRAINT topics_have_names_that_kafka_takes CHECK (name ~ '^[A-Za-z0-9._-]{1,249}$' AND name !~ '^(__|[.]{1,2}$)')
);
CREATE TABLE channels (
    name text NOT NULL,
    CONSTRAINT channels_once PRIMARY KEY (name)
);
CREATE TABLE limits (
    is_only boolean NOT NULL DEFAULT true,
    max_body integer NOT NULL DEFAULT 2097152,  -- bytes
    max_bulk_body integer NOT NULL DEFAULT 16777216,  -- bytes
    max_ahead double precision NOT NULL DEFAULT 31622400,  -- seconds
    idempotency_ttl double precision NOT NULL DEFAULT 86400,  -- seconds
    CONSTRAINT limits_one_row PRIMARY KEY (is_only),
    CONSTRAINT limits_are_the_only_ones CHECK (is_only)
);
INSERT INTO topics VALUES ('notifications'), ('generic_topic');
INSERT INTO channels VALUES ('log'), ('webhook'), ('email'), ('apprise');
INSERT INTO limits DEFAULT VALUES;

-- Drawn from by each call that sends: a relay sees that it moved, and looks. NOTIFY would take a lock on the whole cluster
-- when the caller commits.
CREATE SEQUENCE sends AS bigint CACHE 1;

-- Who asks, and what holds for him. LATERAL keeps PostgreSQL from hashing tables of a row or two.
CREATE VIEW allowance AS
SELECT 'sql:' || coalesce(s.owner, session_user) AS actor, s.topics, coalesce(s.cancels, 'own') AS cancels,
       r.owner AS counted, r.per_second, r.burst,  -- null: as many as he likes
       ARRAY(SELECT name FROM topics) AS registered, t.max_body, t.max_bulk_body, t.max_ahead, t.idempotency_ttl
FROM limits AS t
LEFT JOIN senders AS s ON s.login = session_user
LEFT JOIN LATERAL (
    SELECT * FROM sender_rates AS r WHERE r.owner = coalesce(s.owner, session_user) LIMIT 1
) AS r ON true;

-- Counts so many messages at an owner's rate, or refuses them. Time is cut into slots of one message each, and the
-- sequence says up to which they are used: what is drawn from it is drawn whatever becomes of the transaction, and
-- nobody waits. Who looks at the same moment may find the same slots free; what they draw beyond a burst the next ones
-- wait for. A counter that is further ahead than all connections together can draw is of another rate, or of a clock
-- that was set back.
CREATE FUNCTION keep_to_rate(who allowance, messages integer) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    counter CONSTANT regclass := to_regclass(sender_rate_counter(who.counted));
    furthest CONSTANT double precision := who.burst * (1.0 + current_setting('max_connections')::integer);
    now CONSTANT double precision := date_part('epoch', clock_timestamp()) * who.per_second;
    used bigint := pg_sequence_last_value(counter);
BEGIN
    IF messages > who.burst THEN
        PERFORM refuse('rate', format('%s messages at once, the limit of %s is %s', messages, who.actor, who.burst),
            'send them in several calls, or an operator raises burst in the table sender_rates', '413');
    END IF;
    IF (used BETWEEN now AND now + furthest) IS NOT TRUE THEN
        used := setval(counter, floor(now)::bigint);
    END IF;
    IF used + messages > now + who.burst THEN
        PERFORM refuse('rate', format('%s sends more than %s messages a second', who.actor, who.per_second),
            format('try again in %s s, or an operator raises it in the table sender_rates',
                round(((used + messages - who.burst - now) / who.per_second)::numeric, 3)), '429');
    END IF;
    PERFORM nextval(counter) FROM generate_series(1, messages);
END $$;
