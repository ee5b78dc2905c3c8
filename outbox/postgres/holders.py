"""Who keeps others from a lock on Herald's tables: what waits for one names him."""

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_column

NOBODY = "a lock that somebody held"

# How long a transaction is open may be hidden from this role; a prepared one has no session.
_HOLDERS = """
SELECT CASE WHEN p.gid IS NOT NULL THEN format('the prepared transaction %s of %s', p.gid, p.owner)
       ELSE format('pid %s (%s, %s)', a.pid, coalesce(nullif(a.application_name, ''), 'no name'), a.usename) END
       || coalesce(', open since ' || date_trunc('second', coalesce(p.prepared, a.xact_start)), '')
FROM pg_locks AS l
LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
LEFT JOIN pg_prepared_xacts AS p ON l.virtualtransaction = '-1/' || p.transaction
WHERE l.locktype = 'relation' AND l.granted AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND l.relation IN (SELECT oid FROM pg_class WHERE relnamespace = current_schema()::regnamespace)
  AND (a.pid IS NOT NULL OR p.gid IS NOT NULL)
ORDER BY coalesce(p.prepared, a.xact_start) LIMIT 1
"""


def holder(connection: Connection) -> str:
    """Whose transaction has used Herald's tables, and not ended, for longest; NOBODY where all have ended."""
    found: list[str] = fetch_column(connection, _HOLDERS)
    return found[0] if found else NOBODY
