"""Whether the callers' rows, the log and Kafka agree, order by order."""

from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from herald.outbox.postgres.statements import fetch, fetch_column
from tests.outbox.connections import connected
from tests.proof.faults.evidence import read_topics

SHOWN = 5  # of one kind
_MESSAGES = """
SELECT (o.data ->> 'order')::integer, m.status FROM outbox AS o JOIN messages AS m ON m.id = o.stream_id
WHERE o.topic = 'generic_topic' AND o.type = 'message.requested' AND o.data IS NOT NULL
"""
# what waits in line from its request on was not published then
_REQUESTS = """
SELECT o.stream_id || '.' || o.version, EXISTS (
    SELECT FROM outbox AS next WHERE next.stream_id = o.stream_id AND next.version = o.version + 1
        AND next.payload ->> 'code' = 'queued')
FROM outbox AS o WHERE o.topic = 'generic_topic' AND o.type = 'message.requested'
"""


@dataclass(frozen=True)
class Found:
    """Orders in the callers' table, messages by their order, and the requests on Kafka and in the log.

    Those of the log by whether they may have been held back before they were published.

    A broker that keeps no records when producers are killed need not have all of them.
    """

    orders: set[int]
    messages: Counter[int]
    statuses: Counter[str]
    logged: dict[str, bool]
    published: set[str]
    keeps_records: bool

    def wrong(self, kept: Collection[int] | None = None) -> list[str]:
        """What does not agree; `kept` are the orders that must be there, all of those in the table without it."""
        sides: dict[str, Collection[object]] = {
            "orders without a message": self.orders - self.messages.keys(),
            "messages without an order": self.messages.keys() - self.orders,
            "orders with two messages": {order for order, times in self.messages.items() if times > 1},
            "in the log and not on Kafka": self._unpublished() if self.keeps_records else (),
            "on Kafka and not in the log": self.published - self.logged.keys(),
            "other states than sent": self.statuses.keys() - {"sent"},
        }
        if kept is not None:
            sides["orders that are lost"] = set(kept) - self.orders
            sides["orders that never were"] = self.orders - set(kept)
        return list(_told(sides))

    def _unpublished(self) -> set[str]:
        return {request for request, may_be_held in self.logged.items() if not may_be_held} - self.published


def _told(sides: dict[str, Collection[object]]) -> Iterator[str]:
    for what, found in sides.items():
        if found:
            yield f"{len(found)} {what}: {', '.join(map(str, sorted(found, key=str)[:SHOWN]))}"


def look(database: str, bootstrap_servers: str, *, keeps_records: bool) -> Found:
    """At everything there is; nothing may be under way."""
    with connected(database) as connection:
        orders = set(fetch_column(connection, "SELECT number FROM public.orders"))
        rows = fetch(connection, _MESSAGES)
        requests: dict[str, bool] = dict(fetch(connection, _REQUESTS))
    return Found(
        orders,
        Counter(order for order, _ in rows),
        Counter(status for _, status in rows),
        requests,
        {record.id for record in read_topics(bootstrap_servers, ["generic_topic"])},
        keeps_records,
    )
