-- What the relay remembers: where it stands, what it has published, what Kafka does not take, what is set aside.

CREATE TABLE relay_cursor (
    name text NOT NULL,
    previous pg_snapshot NOT NULL,
    target pg_snapshot,
    last_position bigint NOT NULL,
    floor bigint NOT NULL,
    epoch bigint NOT NULL,
    system_identifier text NOT NULL,
    timeline integer NOT NULL,
    cluster_id text,
    topic_ids jsonb NOT NULL DEFAULT '{}'::jsonb,
    widths jsonb NOT NULL DEFAULT '{}'::jsonb,  -- how many partitions each topic has, and since when
    saved_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT relay_cursor_one_per_relay PRIMARY KEY (name)
);

CREATE TABLE relay_pages (
    epoch bigint NOT NULL,
    snapshot pg_snapshot NOT NULL,
    end_offsets jsonb NOT NULL,
    published_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT relay_pages_one_per_epoch PRIMARY KEY (epoch)
);

-- The partitions and topics that Kafka does not take now, each with a cursor of its own. Partition -1 is the whole
-- topic; `partitions` is how many the topic had when its keys were told apart.
CREATE TABLE relay_withheld (
    topic text NOT NULL,
    partition integer NOT NULL,
    partitions integer NOT NULL,
    previous pg_snapshot NOT NULL,
    target pg_snapshot,
    last_position bigint NOT NULL,
    waiting bigint NOT NULL DEFAULT 0,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    CONSTRAINT relay_withheld_once PRIMARY KEY (topic, partition),
    CONSTRAINT relay_withheld_partition_exists CHECK (partition = -1 OR partition BETWEEN 0 AND partitions - 1)
);

-- Rows of the log that wait for a person.
CREATE TABLE set_aside (
    stream_id uuid NOT NULL,
    version integer NOT NULL,
    position bigint NOT NULL,
    topic text,
    reason text NOT NULL,
    error text NOT NULL,
    since timestamptz NOT NULL DEFAULT clock_timestamp(),
    decision text,
    decided_at timestamptz,
    decided_by text,
    decided_because text,
    CONSTRAINT set_aside_one_per_event PRIMARY KEY (stream_id, version),
    CONSTRAINT set_aside_reason_is_known CHECK (reason IN ('unreadable', 'unpublishable', 'refused')),
    CONSTRAINT set_aside_decision_is_known CHECK (decision IN ('published', 'discarded')),
    CONSTRAINT set_aside_decision_has_its_date_and_person CHECK (num_nulls(decision, decided_at, decided_by) IN (0, 3))
);
CREATE INDEX set_aside_undecided ON set_aside (since, stream_id, version) WHERE decision IS NULL;
