-- Jobs that requeue many dead letters.

CREATE TABLE requeues (
    id uuid NOT NULL,
    filter jsonb NOT NULL,
    rate double precision NOT NULL,
    requested_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    last_step_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    total integer NOT NULL,
    done integer NOT NULL DEFAULT 0,
    last_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    finished_at timestamptz,
    is_stopped boolean NOT NULL DEFAULT false,
    actor text,  -- who made it
    CONSTRAINT requeues_one_row_per_job PRIMARY KEY (id),
    CONSTRAINT requeues_have_a_rate CHECK (rate > 0)
);

CREATE INDEX requeues_under_way ON requeues (id) WHERE finished_at IS NULL;
