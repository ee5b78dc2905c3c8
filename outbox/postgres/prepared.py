"""Statements that PostgreSQL plans once for each connection, instead of each time that they are run.

psycopg2 sends a statement as text, and to plan a claim takes ten times as long as to run it. PREPARE is sent when a
connection runs a prepared statement for the first time, EXECUTE from then on. The plan is made without the values where
the session is set for it (`STEADY` in session_settings). PostgreSQL makes it anew when a table is altered or analysed,
and every 20 seconds Herald has it made anew: what was best while a table was a page is not while it grows.

A session of one's own is needed, as for all that Herald does: what gives one session to many is refused
(fitness.pooler).
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import sha256
from time import monotonic
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from herald.outbox.postgres.driver import Connection, Cursor, errors

PLANS_LAST = 20.0  # seconds; autovacuum, which looks once a minute, may come late
Values = Mapping[str, Any] | tuple[Any, ...] | None
_PLACEHOLDER = re.compile(r"%(?:\((\w+)\)s|%)")


class Prepared(NamedTuple):
    """What is sent once, and what is sent each time; of one name there is one text."""

    name: str
    definition: str
    call: str

    def under(self, setting: str) -> "Prepared":
        """The same, each time with a SET LOCAL before it: together they are one message of the protocol."""
        return self._replace(call=f"{setting}; {self.call}")


@dataclass(slots=True)
class _Session:
    known: set[str] = field(default_factory=set)
    planned_at: float = field(default_factory=monotonic)


_sessions: "WeakKeyDictionary[Connection, _Session]" = WeakKeyDictionary()  # a new connection knows nothing


@cache
def prepare(label: str, text: str, **types: str) -> Prepared:
    """A statement with parameters `%(name)s`, of PostgreSQL's types by their names; `%%` is a percent sign."""
    places = {name: f"${number}" for number, name in enumerate(types, 1)}
    body = _PLACEHOLDER.sub(lambda found: places[found[1]] if found[1] else "%", text)
    name = f"herald_{label}_{sha256(body.encode()).hexdigest()[:8]}"
    taken = f" ({', '.join(types.values())})" if types else ""
    given = f" ({', '.join(f'%({name})s' for name in types)})" if types else ""
    return Prepared(name, f"PREPARE {name}{taken} AS {body}", f"EXECUTE {name}{given}")


def run(cursor: Cursor, statement: Prepared, values: Values) -> None:
    """Run it; the cursor has the answer. Raises PostgresError."""
    session = _sessions.setdefault(cursor.connection, _Session())
    try:
        _make_ready(cursor, session, statement)
        cursor.execute(statement.call, values)
    except (errors.InvalidSqlStatementName, errors.DuplicatePreparedStatement) as error:
        if isinstance(error, errors.DuplicatePreparedStatement):  # PREPARE was cancelled when it had done its work
            session.known.add(statement.name)
        else:  # somebody has said DISCARD or DEALLOCATE
            session.known.clear()
        if not cursor.connection.autocommit:
            raise
        run(cursor, statement, values)


def _make_ready(cursor: Cursor, session: _Session, statement: Prepared) -> None:
    if (now := monotonic()) - session.planned_at > PLANS_LAST:
        cursor.execute("DISCARD PLANS")
        session.planned_at = now
    if statement.name not in session.known:
        cursor.execute(statement.definition)
        session.known.add(statement.name)
