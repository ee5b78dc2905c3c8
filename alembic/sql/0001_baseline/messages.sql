-- Where each message stands, folded from its events: a projection, which `herald rebuild` makes anew. What it carries
-- is in the log: `data_version` is the event that has it.

CREATE TABLE messages (
    id uuid NOT NULL,
    topic text NOT NULL,
    key text,
    data_version integer NOT NULL,
    event text,
    traceparent text,
    status text NOT NULL,
    version integer NOT NULL,
    request integer NOT NULL,
    attempts integer NOT NULL,
    uncounted integer NOT NULL DEFAULT 0,
    unknowns integer NOT NULL DEFAULT 0,
    priority smallint NOT NULL DEFAULT 5,
    destination text,
    reason text,
    reason_code text,
    due_at timestamptz,
    deliver_by timestamptz,
    requested_in xid8 NOT NULL,
    accepted_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    sent_at timestamptz,
    actor text,  -- who asked for it, where that is known
    group_id uuid,  -- what was asked for together
    again_of uuid,  -- which message was over and was sent again as this one
    CONSTRAINT messages_one_row_per_stream PRIMARY KEY (id),
    CONSTRAINT messages_status_is_known CHECK (status IN ('scheduled', 'pending', 'sending', 'sent', 'failed',
        'unknown', 'dead', 'cancelled', 'expired', 'discarded')),
    CONSTRAINT messages_sent_has_its_date CHECK ((status = 'sent') = (sent_at IS NOT NULL)),
    CONSTRAINT messages_sending_has_a_lease CHECK (status <> 'sending' OR due_at IS NOT NULL),
    CONSTRAINT messages_priority_is_a_digit CHECK (priority BETWEEN 0 AND 9),
    CONSTRAINT messages_waiting_has_its_date CHECK (status NOT IN ('scheduled', 'failed') OR due_at IS NOT NULL)
) PARTITION BY RANGE (id);

-- Columns that a move changes have no index: those are in the queues (queues.sql).
CREATE INDEX messages_of_a_key ON messages (topic, key, id);
CREATE INDEX messages_of_an_event ON messages (event, id) WHERE event IS NOT NULL;
CREATE INDEX messages_of_a_group ON messages (group_id, id) WHERE group_id IS NOT NULL;
CREATE INDEX messages_sent_again ON messages (again_of) WHERE again_of IS NOT NULL;
