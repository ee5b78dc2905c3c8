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

-- What processes know, and their settings: each notes it when it starts (outbox/postgres/registered.py).
CREATE TABLE topics (
    name text NOT NULL,
    CONSTRAINT topics_once PRIMARY KEY (name)
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

CREATE FUNCTION sender(OUT actor text, OUT topics text[], OUT cancels text) LANGUAGE plpgsql STABLE
    SET search_path FROM CURRENT AS $$
BEGIN
    SELECT 'sql:' || s.owner, s.topics, s.cancels INTO actor, topics, cancels
    FROM senders AS s WHERE s.login = session_user;
    IF NOT FOUND THEN
        actor := 'sql:' || session_user;
        cancels := 'own';
    END IF;
END $$;
