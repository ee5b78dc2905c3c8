-- Which destinations are left alone for a while, and what a person has paused.

CREATE TABLE breakers (
    destination text NOT NULL,
    failures integer NOT NULL,
    opened_at timestamptz,
    probes integer NOT NULL DEFAULT 0,
    probe_at timestamptz,
    probe_id uuid,
    probe_until timestamptz,
    closed_at timestamptz,
    released integer NOT NULL DEFAULT 0,
    reason text,
    CONSTRAINT breakers_one_per_destination PRIMARY KEY (destination),
    CONSTRAINT breakers_open_has_its_probe CHECK ((opened_at IS NULL) = (probe_at IS NULL)),
    CONSTRAINT breakers_open_or_closed CHECK (opened_at IS NULL OR closed_at IS NULL)
);

CREATE TABLE pauses (
    scope text NOT NULL,
    reason text,
    paused_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text,  -- who gave the reason
    CONSTRAINT pauses_one_per_scope PRIMARY KEY (scope)
);
