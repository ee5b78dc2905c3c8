"""What the functions of the database need to know of the processes: topics, channels, limits of what is sent.

Every process notes what it knows and learns what others do, so that one that has no consumer for a topic accepts,
publishes and searches it all the same.
"""

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_one, find_one
from herald.outbox.registry import CHANNELS, TOPICS, note_registered
from herald.outbox.settings import Settings

_LIMITS = ("max_body", "max_bulk_body", "max_ahead", "idempotency_ttl")
_KNOWN = f"SELECT FROM limits WHERE ({', '.join(_LIMITS)}) = ({', '.join(f'%({name})s' for name in _LIMITS)})"
_NOTE = f"UPDATE limits SET {', '.join(f'{name} = %({name})s' for name in _LIMITS)}"
_REGISTERED = "SELECT ARRAY(SELECT name FROM topics ORDER BY name), ARRAY(SELECT name FROM channels ORDER BY name)"
_ADD = """
WITH t AS (INSERT INTO topics SELECT unnest(%(topics)s::text[]) ON CONFLICT DO NOTHING)
INSERT INTO channels SELECT unnest(%(channels)s::text[]) ON CONFLICT DO NOTHING
"""


def register(connection: Connection, settings: Settings) -> None:
    """Note what this process knows, and its settings; commits. Raises PostgresError."""
    register_names(connection)
    limits = {name: getattr(settings, name) for name in _LIMITS}
    # looked at first: a change of no row is refused as well where the database is read-only
    if find_one(connection, _KNOWN, limits) is None:
        execute(connection, _NOTE, limits)
    connection.commit()


def register_names(connection: Connection) -> None:
    """Note the topics and channels of this process, in the caller's transaction; what others know stays."""
    topics, channels = fetch_one(connection, _REGISTERED)
    if not (TOPICS.keys() <= set(topics) and CHANNELS.keys() <= set(channels)):
        execute(connection, _ADD, {"topics": list(TOPICS), "channels": list(CHANNELS)})
    note_registered(topics, channels)


def learn_names(connection: Connection) -> None:
    """What others have registered by now."""
    note_registered(*fetch_one(connection, _REGISTERED))
