"""Pauses: deliveries held back at run time, everywhere, for a topic or for a channel, without a restart.

A pause is a row that every claim looks at, so it holds from its commit on, for every worker and
across restarts. What it holds back stays due; attempts that are under way end as they would.
"""

from datetime import datetime

import msgspec

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_one
from herald.outbox.registry import registered_channels, registered_topics

ALL = "all"
# SQL: whether a message (a table's alias) is held back
IS_PAUSED = """EXISTS (SELECT FROM pauses WHERE scope = 'all' OR scope = 'topic:' || {message}.topic
    OR scope = 'channel:' || split_part({message}.destination, ':', 1))"""


class ScopeError(ValueError):
    """Not a scope that can be paused; the text names those that can."""


class Pause(msgspec.Struct, frozen=True):
    """One row: `scope` is `all`, `topic:<name>` or `channel:<name>`; `actor` paused it, or gave another reason."""

    scope: str
    reason: str | None
    paused_at: datetime
    actor: str | None


_COLUMNS = "scope, reason, paused_at, actor"
PAUSES = f"SELECT {_COLUMNS} FROM pauses ORDER BY paused_at, scope"
_PAUSE = f"""
INSERT INTO pauses (scope, reason, actor) VALUES (%s, %s, %s)
ON CONFLICT (scope) DO UPDATE SET reason = coalesce(excluded.reason, pauses.reason),
    actor = CASE WHEN excluded.reason IS NULL THEN pauses.actor ELSE excluded.actor END
RETURNING {_COLUMNS}
"""


def scopes() -> list[str]:
    """Everything that can be paused."""
    topics, channels = registered_topics(), registered_channels()
    return [ALL, *(f"topic:{name}" for name in topics), *(f"channel:{name}" for name in channels)]


def check_scope(scope: str) -> str:
    """Return it. Raises ScopeError."""
    known = scopes()
    if scope not in known:
        message = f"no such scope: {scope}; there are: {', '.join(known)}"
        raise ScopeError(message)
    return scope


def pause(connection: Connection, scope: str, *, reason: str | None = None, actor: str | None = None) -> Pause:
    """Hold back, in the caller's transaction; an earlier pause stays, with the newer reason where one is given.

    Raises ScopeError.
    """
    return Pause(*fetch_one(connection, _PAUSE, check_scope(scope), reason, actor))


def resume(connection: Connection, scope: str) -> bool:
    """Let go again, in the caller's transaction; False when it was not paused. Raises ScopeError."""
    return execute(connection, "DELETE FROM pauses WHERE scope = %s", check_scope(scope)) == 1


def list_pauses(connection: Connection) -> list[Pause]:
    """What is paused now, oldest first."""
    return fetch(connection, PAUSES, into=Pause)
