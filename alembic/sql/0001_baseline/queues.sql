-- What is looked for again and again, beside `messages`. A move puts a message into a queue and takes it out, so that
-- the update of the message changes no column that an index has: PostgreSQL writes it beside the old version on the
-- same page (a HOT update), and no index grows. All of it follows from `messages`.

-- What is not over.
CREATE TABLE unfinished (
    id uuid NOT NULL,
    deliver_by timestamptz,
    CONSTRAINT unfinished_once PRIMARY KEY (id)
);
CREATE INDEX unfinished_to_expire ON unfinished (deliver_by) WHERE deliver_by IS NOT NULL;

-- What waits for its date; and, without one, what was requested again and is not over. What comes behind it of its key
-- may have to wait for it, and takes its date: it is found in the order of acceptance.
CREATE TABLE waiting (
    id uuid NOT NULL,
    topic text NOT NULL,
    key text,
    destination text,
    priority smallint NOT NULL,
    request integer NOT NULL,
    due_at timestamptz,
    accepted_at timestamptz NOT NULL,
    line text COLLATE "C",  -- where it stands in line, in the order of acceptance: it is requested in its turn
    CONSTRAINT waiting_once PRIMARY KEY (id)
);
CREATE INDEX waiting_due ON waiting (priority, due_at) WHERE due_at IS NOT NULL AND line IS NULL;
CREATE INDEX waiting_in_line ON waiting (line, accepted_at, id) WHERE line IS NOT NULL;
CREATE INDEX waiting_for_a_destination ON waiting (destination, priority, due_at) WHERE due_at IS NOT NULL;
CREATE INDEX waiting_of_a_key ON waiting (topic, key, accepted_at, id);

-- What ended without being sent; with `error`, what groups reasons on the desk, it waits for a person.
CREATE TABLE unsent (
    id uuid NOT NULL,
    status text NOT NULL,
    error text,
    CONSTRAINT unsent_once PRIMARY KEY (id)
);
CREATE INDEX unsent_by_status ON unsent (status, id);

-- Until when attempts belong to their claimer: a row for each claim, which stays until its end and until all of it is
-- settled. On a strict topic a row for each attempt, with the key that nobody else may claim meanwhile.
CREATE TABLE leases (
    until timestamptz NOT NULL,
    ids uuid[] NOT NULL,
    topic text,
    key text
);
CREATE INDEX leases_by_end ON leases (until);
CREATE INDEX leases_of_a_key ON leases (topic, key) WHERE key IS NOT NULL;

-- What each status means for the queues: whoever adds one says it here.
CREATE FUNCTION has_date(status text) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN status IN ('scheduled', 'failed');

CREATE FUNCTION is_unfinished(status text) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN has_date(status) OR status IN ('pending', 'sending');

CREATE FUNCTION is_waiting(status text, request integer) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN has_date(status) OR request > 1 AND status IN ('pending', 'sending');

-- In which line it waits for its turn: of its key, because many of its kind wait, or to a destination that is busy, where
-- those of each priority have a line of their own.
CREATE FUNCTION line_of(status text, reason_code text, topic text, key text, destination text, priority smallint)
    RETURNS text LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN has_date(status) THEN CASE reason_code
        WHEN 'queued' THEN topic || '/' || coalesce(key, '')
        WHEN 'busy' THEN 'to ' || coalesce(destination, topic) || ', priority ' || priority END END;

CREATE FUNCTION is_unsent(status text) RETURNS boolean LANGUAGE sql IMMUTABLE
    RETURN status IN ('unknown', 'dead', 'cancelled', 'expired', 'discarded');

-- What groups reasons that differ in ids, long numbers or the count of attempts only; 200 characters of it.
CREATE FUNCTION desk_error(status text, reason text) RETURNS text LANGUAGE sql IMMUTABLE
    RETURN CASE WHEN status IN ('unknown', 'dead') THEN left(regexp_replace(regexp_replace(
        coalesce(reason, ''), ' \(attempt \d+ of \d+\)$', ''),
        '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|\d{5,}', '#', 'gi'), 200) END;

-- What is over, what waits no longer, and what is sent or tried again.
CREATE FUNCTION leave_queues(over uuid[], waited uuid[], sent uuid[]) RETURNS void LANGUAGE plpgsql
    SET search_path FROM CURRENT AS $$
BEGIN
    IF over IS NOT NULL THEN
        DELETE FROM unfinished WHERE id = ANY (over);
    END IF;
    IF waited IS NOT NULL THEN
        DELETE FROM waiting WHERE id = ANY (waited);
    END IF;
    IF sent IS NOT NULL THEN
        DELETE FROM unsent WHERE id = ANY (sent);
    END IF;
END $$;

-- How the queues have to be, by what stands in `messages`.
CREATE VIEW due_in_unfinished AS
SELECT id, deliver_by FROM messages WHERE is_unfinished(status);

CREATE VIEW due_in_waiting AS
SELECT id, topic, key, destination, priority, request,
       CASE WHEN has_date(status) THEN due_at END AS due_at, accepted_at,
       line_of(status, reason_code, topic, key, destination, priority) AS line
FROM messages WHERE is_waiting(status, request);

CREATE VIEW due_in_unsent AS
SELECT id, status, desk_error(status, reason) AS error FROM messages WHERE is_unsent(status);

CREATE VIEW due_in_leases AS
SELECT id, due_at AS until FROM messages WHERE status = 'sending';

-- Messages that do not stand where they should: none, unless somebody else has changed a table. What has left with its
-- partition is forgotten a moment later (outbox/scheduler/retention.py).
CREATE VIEW queue_differences AS
SELECT 'unfinished' AS queue, id FROM (
    (TABLE due_in_unfinished EXCEPT TABLE unfinished) UNION ALL (TABLE unfinished EXCEPT TABLE due_in_unfinished)
) AS differing
UNION ALL SELECT 'waiting', id FROM (
    (TABLE due_in_waiting EXCEPT TABLE waiting) UNION ALL (TABLE waiting EXCEPT TABLE due_in_waiting)
) AS differing
UNION ALL SELECT 'unsent', id FROM (
    (TABLE due_in_unsent EXCEPT TABLE unsent) UNION ALL (
        SELECT * FROM unsent AS u
        WHERE u.id >= (SELECT horizon FROM closing) OR EXISTS (SELECT FROM messages AS m WHERE m.id = u.id)
        EXCEPT TABLE due_in_unsent)
) AS differing
UNION ALL SELECT 'leases', id FROM (TABLE due_in_leases EXCEPT SELECT unnest(ids), until FROM leases) AS differing;

-- Put these messages where they belong. A lease too many does no harm: what is found by it is looked at.
CREATE FUNCTION queues_follow(wrong uuid[]) RETURNS void LANGUAGE plpgsql SET search_path FROM CURRENT AS $$
BEGIN
    PERFORM FROM messages WHERE id = ANY (wrong) ORDER BY id FOR NO KEY UPDATE;
    DELETE FROM unfinished WHERE id = ANY (wrong);
    DELETE FROM waiting WHERE id = ANY (wrong);
    DELETE FROM unsent WHERE id = ANY (wrong);
    INSERT INTO unfinished SELECT * FROM due_in_unfinished WHERE id = ANY (wrong);
    INSERT INTO waiting SELECT * FROM due_in_waiting WHERE id = ANY (wrong);
    INSERT INTO unsent SELECT * FROM due_in_unsent WHERE id = ANY (wrong);
    INSERT INTO leases (until, ids) SELECT until, ARRAY[id] FROM due_in_leases WHERE id = ANY (wrong);
END $$;
