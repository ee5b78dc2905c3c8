"""What the functions of the database need to know of the processes: topics, channels, limits of what is sent."""

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, find_one
from herald.outbox.registry import CHANNELS, TOPICS
from herald.outbox.settings import Settings

_LIMITS = ("max_body", "max_bulk_body", "max_ahead", "idempotency_ttl")
_KNOWN = f"""
SELECT FROM limits WHERE ({", ".join(_LIMITS)}) = ({", ".join(f"%({name})s" for name in _LIMITS)})
    AND %(topics)s::text[] <@ ARRAY(SELECT name FROM topics)
    AND %(channels)s::text[] <@ ARRAY(SELECT name FROM channels)
"""
_NOTE = f"""
WITH t AS (INSERT INTO topics SELECT unnest(%(topics)s::text[]) ON CONFLICT DO NOTHING),
    c AS (INSERT INTO channels SELECT unnest(%(channels)s::text[]) ON CONFLICT DO NOTHING)
UPDATE limits SET {", ".join(f"{name} = %({name})s" for name in _LIMITS)}
"""


def register(connection: Connection, settings: Settings) -> None:
    """Note what this process knows, and its settings; commits. What others know stays. Raises PostgresError."""
    known = {name: getattr(settings, name) for name in _LIMITS} | {"topics": list(TOPICS), "channels": list(CHANNELS)}
    # looked at first: a change of no row is refused as well where the database is read-only
    if find_one(connection, _KNOWN, known) is None:
        execute(connection, _NOTE, known)
    connection.commit()
