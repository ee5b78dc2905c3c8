"""Fills a database with messages that were sent, as the statements of Herald would have written them."""

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute

EVENT = "filled"  # what they are about
BATCH = 50_000  # messages of one statement

# Ids of the present month, in their order; three events each.
_FILL = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at, outbox_first_id(date_trunc('month', now())) AS month),
made AS MATERIALIZED (
    SELECT (left(month::text, 14) || '7' || lpad(to_hex(n / 4096 %% 4096), 3, '0') || '-8'
            || lpad(to_hex(n %% 4096), 3, '0') || '-' || left(md5(n::text), 12))::uuid AS id,
           'user-' || n %% 1000 AS key,
           json_build_object('user_id', 'user-' || n %% 1000, 'event', %(event)s::text,
               'content', n || repeat(' x', 100)) AS data,
           at - interval '1 hour' + make_interval(secs => n * 1e-4) AS at
    FROM generate_series(%(first)s, %(last)s) AS n, clock
),
requested AS (
    INSERT INTO outbox (stream_id, version, type, topic, key, data, payload, recorded_at)
    SELECT id, 1, 'message.requested', 'notifications', key, data, '{"request": 1, "cause": "accepted"}', at FROM made
),
started AS (
    INSERT INTO outbox (stream_id, version, type, payload, recorded_at)
    SELECT id, 2, 'message.started', jsonb_build_object('attempt', 1, 'lease_until', at + interval '60 seconds',
        'destination', 'log'), at + interval '5 milliseconds' FROM made
),
sent AS (
    INSERT INTO outbox (stream_id, version, type, payload, recorded_at)
    SELECT id, 3, 'message.sent', '{"attempt": 1}', at + interval '6 milliseconds' FROM made
)
INSERT INTO messages (id, topic, key, data_version, event, status, version, request, attempts, destination,
                      requested_in, accepted_at, updated_at, sent_at)
SELECT id, 'notifications', key, 1, %(event)s, 'sent', 3, 1, 1, 'log', pg_current_xact_id(),
       at, at + interval '6 milliseconds', at + interval '6 milliseconds'
FROM made
"""


def fill(connection: Connection, count: int) -> None:
    """So many, each statement a transaction; the connection is in autocommit."""
    for first in range(1, count + 1, BATCH):
        last = min(first + BATCH - 1, count)
        execute(connection, _FILL, {"first": first, "last": last, "event": EVENT})
