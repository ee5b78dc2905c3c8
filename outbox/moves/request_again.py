"""Requests a message again: a new `requested` event, published like the first one.

The request number grows, so that records of earlier requests start nothing any more.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from herald.outbox.moves.around import AROUND, Batch, chosen
from herald.outbox.moves.door import REQUESTED, moving
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import Statement, fetch, fetch_column

# Found first, locked by their ids then: whoever holds a message decides what becomes of it, and one that moved in
# between is no longer the one that was found.
WAITED_FOR = """
    SELECT id, version, status, request, attempts, uncounted, unknowns, topic, destination, priority, due_at,
        deliver_by, accepted_at FROM messages
    WHERE id = ANY (ARRAY(SELECT id FROM found)) ORDER BY id FOR NO KEY UPDATE
"""
LOCKED = f"{WAITED_FOR} SKIP LOCKED"
NOT_ASIDE = """NOT EXISTS (
    SELECT FROM set_aside AS s WHERE s.stream_id = messages.id AND s.version = messages.version AND s.decision IS NULL
)"""


@dataclass(frozen=True, slots=True)
class Choice:
    """Which messages: a query for `id` and `version`, its values by name.

    `cause` is SQL for the cause to record, over the message `m`. What another transaction holds is left to the
    next time, unless `locked` waits for it. With the PostgreSQL `types` of its values the statement is prepared.
    """

    query: str
    values: dict[str, Any]
    cause: str
    locked: str = LOCKED
    types: Mapping[str, str] | None = None

    @property
    def statement(self) -> Statement:
        """It requests them."""
        deciding = _DECIDED.format(chosen=chosen(self.query), cause=self.cause, locked=self.locked)
        text = moving(deciding, REQUESTED, answer="SELECT id::text, destination FROM moved")
        return text if self.types is None else prepare("request", text, **_TYPES, **self.types)


_TYPES = {"limit": "bigint", "only": "text[]", "left_alone": "text[]"}
_DECIDED = """
found AS MATERIALIZED ({chosen}),
locked AS MATERIALIZED ({locked}),
decided AS MATERIALIZED (
    SELECT m.id, 'message.requested' AS type, jsonb_build_object('request', m.request + 1, 'cause', {cause}) AS payload,
           m.topic AS publish_to,
           row_number() OVER (ORDER BY m.priority DESC, m.due_at, m.accepted_at, m.id) AS place
    FROM locked AS m JOIN found USING (id, version)
    WHERE NOT EXISTS (
        SELECT FROM set_aside AS s WHERE s.stream_id = m.id AND s.version = m.version AND s.decision IS NULL)
)"""


def pending_that(condition: str) -> str:
    """The query of a choice among pending messages: they were published, and are published again.

    One whose request was set aside waits for an operator: published again, it would be set aside again.
    """
    return (
        "SELECT id, version FROM messages WHERE id IN (SELECT u.id FROM unfinished AS u) AND status = 'pending'"
        f" AND {NOT_ASIDE} AND {condition} LIMIT %(limit)s"
    )


def request_again(connection: Connection, choice: Choice, *, limit: int) -> list[tuple[str, str | None]]:
    """Request up to `limit` of the chosen messages again; returns ids and destinations.

    In the caller's transaction, or in autocommit around those for whose sake it fails. Raises PostgresError.
    """
    values = {**choice.values, "limit": limit}
    statement = choice.statement

    def find(batch: Batch) -> list[str]:
        query = f"SELECT id::text FROM ({chosen(choice.query)}) AS batch"
        return fetch_column(connection, query, values | batch.values)

    def act(batch: Batch) -> list[tuple[str, str | None]]:
        return [(message, destination) for message, destination in fetch(connection, statement, values | batch.values)]

    return [one for part in AROUND.act(connection, find, act) for one in part]
