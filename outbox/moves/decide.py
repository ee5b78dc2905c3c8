"""What a person decides: try again, as it is or edited, or give up for good.

A requeue begins anew: the attempts so far no longer count, and `deliver_by` is dropped. All is done in the
caller's transaction; what is not on the desk (any more) stays as it is.

`actor` is who decides, as the events say it. What the API decides are functions of the database, so that its role
cannot write the log but by them (alembic/sql/0001_baseline/decide.sql): each is the statement that is put together
here, which a test compares.
"""

from collections.abc import Sequence
from uuid import UUID

import msgspec

from herald.outbox.moves.door import DISCARDED, EDITED, REQUEUED, moving
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_column

MOST_AT_ONCE = 10_000  # discarded in one statement


class Edit(msgspec.Struct, frozen=True):
    """New data, as JSON that was checked, and the key that goes with it."""

    data: msgspec.Raw
    key: str | None


_LOCKED = """
locked AS MATERIALIZED (
    SELECT id, topic, request, accepted_at FROM messages
    WHERE id = ANY (%(ids)s::uuid[]) AND status IN ('dead', 'unknown')
    ORDER BY id FOR NO KEY UPDATE
)"""
_WHY = """jsonb_strip_nulls(jsonb_build_object('reason', %(reason)s::text,
               'code', 'discarded_by_person', 'actor', %(actor)s::text))"""
_ANSWER = "SELECT id FROM moved"

EDIT = moving(
    f"""{_LOCKED},
decided AS MATERIALIZED (
    SELECT id, 'message.edited' AS type,
           jsonb_strip_nulls(jsonb_build_object('key', key, 'actor', %(actor)s::text)) AS payload, data,
           NULL AS publish_to, 0 AS place
    FROM locked, json_to_record(%(edit)s::json) AS e(data json, key text)
)""",
    EDITED,
    answer=_ANSWER,
)
REQUEUE = moving(
    f"""{_LOCKED},
decided AS MATERIALIZED (
    SELECT id, 'message.requested' AS type,
           jsonb_build_object('request', request + 1, 'cause', 'requeued', 'actor', %(actor)s::text) AS payload,
           topic AS publish_to, row_number() OVER (ORDER BY accepted_at, id) AS place
    FROM locked
)""",
    REQUEUED,
    answer=_ANSWER,
)
DISCARD = moving(
    f"""{_LOCKED},
decided AS MATERIALIZED (
    SELECT id, 'message.discarded' AS type, {_WHY} AS payload,
           NULL AS publish_to, 0 AS place
    FROM locked
)""",
    DISCARDED,
    answer=_ANSWER,
)
DISCARD_PENDING = moving(
    f"""
decided AS MATERIALIZED (
    SELECT id, 'message.discarded' AS type, {_WHY} AS payload,
           NULL AS publish_to, 0 AS place
    FROM messages WHERE id = %(id)s::uuid AND status = 'pending' AND version = %(version)s
    FOR NO KEY UPDATE
)""",
    DISCARDED,
    answer=_ANSWER,
)

_CALL = "SELECT {}::text"
_EDIT = _CALL.format("edit(%(ids)s::uuid[], %(edit)s::json, %(actor)s)")
_REQUEUE = _CALL.format("requeue(%(ids)s::uuid[], %(actor)s)")
_DISCARD = _CALL.format("discard(%(ids)s::uuid[], %(reason)s, %(actor)s)")


def requeue(
    connection: Connection, ids: Sequence[UUID], *, edit: Edit | None = None, actor: str | None = None
) -> list[UUID]:
    """Try these again; returns those that were on the desk. An edit is for one, and an event before the request."""
    if edit:
        _decide(connection, _EDIT, ids, edit=msgspec.json.encode(edit).decode(), actor=actor)
    return _decide(connection, _REQUEUE, ids, actor=actor)


def discard(connection: Connection, ids: Sequence[UUID], *, reason: str, actor: str | None = None) -> list[UUID]:
    """Give these up for good; returns those that were on the desk."""
    return _decide(connection, _DISCARD, ids, reason=reason, actor=actor)


def discard_pending(
    connection: Connection, message: UUID, version: int, *, reason: str | None, actor: str | None
) -> None:
    """Give up what waits for the request that this version made."""
    values = {"id": str(message), "version": version, "reason": reason, "actor": actor}
    execute(connection, DISCARD_PENDING, values)


def _decide(connection: Connection, statement: str, ids: Sequence[UUID], **values: object) -> list[UUID]:
    moved = fetch_column(connection, statement, {"ids": [str(one) for one in ids], **values})
    return [UUID(message) for message in moved]
