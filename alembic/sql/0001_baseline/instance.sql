-- Which Herald this is: an id of its own, and the place where it was made.

-- The timeline is that of what is being written: pg_control_checkpoint() still has the old one after a promotion.
-- Every text is compared with what the relay's cursor keeps as well.
CREATE FUNCTION instance_here(OUT system_identifier text, OUT database bigint, OUT database_name text,
                              OUT timeline integer)
    LANGUAGE sql STABLE SET search_path FROM CURRENT AS $$
    SELECT (SELECT s.system_identifier::text FROM pg_control_system() AS s), d.oid::bigint, d.datname::text,
        CASE WHEN NOT pg_is_in_recovery()
            THEN ('x' || left(pg_walfile_name(pg_current_wal_lsn()), 8))::bit(32)::integer END
    FROM pg_database AS d WHERE d.datname = current_database()
$$;

CREATE TABLE instance (
    is_only boolean NOT NULL DEFAULT true,
    id uuid NOT NULL DEFAULT gen_random_uuid(),
    system_identifier text NOT NULL,
    database bigint NOT NULL,
    database_name text NOT NULL,
    timeline integer NOT NULL,
    source text,
    topic_prefix text,
    CONSTRAINT instance_one_row PRIMARY KEY (is_only),
    CONSTRAINT instance_is_the_only_one CHECK (is_only)
);

-- What an operator says by `herald relay --rebase`: moved keeps the id, copied makes a new one.
CREATE FUNCTION instance_takes_place(is_copy boolean) RETURNS uuid LANGUAGE sql SET search_path FROM CURRENT AS $$
    UPDATE instance AS i
    SET id = CASE WHEN is_copy THEN gen_random_uuid() ELSE i.id END, system_identifier = h.system_identifier,
        database = h.database, database_name = h.database_name, timeline = h.timeline
    FROM instance_here() AS h
    RETURNING i.id
$$;

INSERT INTO instance (system_identifier, database, database_name, timeline)
SELECT system_identifier, database, database_name, timeline FROM instance_here();
