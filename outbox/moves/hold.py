"""Holding back: what would wait in Kafka before everybody else's waits in line in the database instead.

It is postponed before it is published, and has its turn later (outbox/scheduler/lines.py). A record that is published
all the same starts nothing: it asks for a request that is not pending.
"""

from collections.abc import Sequence

from herald.outbox.message.events import DEFAULT_PRIORITY
from herald.outbox.moves.claim import REASONS
from herald.outbox.moves.door import POSTPONED, moving
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import fetch_column

MANY = 10  # of one group in one page, from which on they were asked for among many

# The first request only: one that was made again has its date, or its turn, behind it. It is due since it was accepted,
# so that those that have their turn together are requested in that order.
HOLD = prepare(
    "hold",
    moving(
        f"""
asked AS MATERIALIZED (
    SELECT * FROM unnest(%(ids)s::uuid[], %(crowded)s::boolean[]) WITH ORDINALITY AS a(id, is_crowded, place)
),
locked AS MATERIALIZED (
    SELECT id, group_id, priority, accepted_at FROM messages
    WHERE id = ANY (ARRAY(SELECT id FROM asked)) AND status = 'pending' AND request = 1
    ORDER BY id
    FOR NO KEY UPDATE SKIP LOCKED
),
many AS MATERIALIZED (
    SELECT group_id FROM locked WHERE priority <= {DEFAULT_PRIORITY} GROUP BY group_id HAVING count(*) >= {MANY}
),
decided AS MATERIALIZED (
    SELECT id, 'message.postponed' AS type, jsonb_build_object('reason', '{REASONS["queued"]}', 'code', 'queued',
               'due_at', accepted_at) AS payload,
           NULL AS publish_to, place
    FROM locked JOIN asked USING (id)
    WHERE is_crowded OR priority <= {DEFAULT_PRIORITY} AND group_id IN (SELECT group_id FROM many)
)""",
        POSTPONED,
        answer="""
SELECT id::text FROM moved
UNION ALL SELECT id::text FROM messages
WHERE id = ANY (ARRAY(SELECT id FROM asked)) AND NOT (status = 'pending' AND request = 1)
""",
    ),
    ids="text[]",
    crowded="boolean[]",
)


def hold(connection: Connection, ids: Sequence[str], crowded: Sequence[bool]) -> set[str]:
    """Of these, in the order of the log: those whose key is crowded, and those that were asked for among many.

    Returns those that are not to be published: they are held, now or before, or their request is over. What another
    transaction has, or what is urgent among many, is not held.
    """
    return set(fetch_column(connection, HOLD, {"ids": list(ids), "crowded": list(crowded)}))
