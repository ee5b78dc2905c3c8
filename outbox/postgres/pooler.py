"""Whether a pooler gives one session of the server to several connections, or several to one.

Only in session mode may Herald's settings, locks and LISTEN be trusted to stay where they were made. Nothing is set
while this is found out: a pooler would hand it on to somebody else.
"""

from typing import Any

from herald.outbox.postgres.driver import Connection, Cursor
from herald.outbox.postgres.session_settings import search_path
from herald.outbox.postgres.statements import execute, fetch_value

ROUNDS = 3  # of questions to both connections


def session_of(connection: Connection) -> int:
    """The process id of the session that answers, as the server itself gives it."""
    return int(fetch_value(connection, "SELECT pg_backend_pid()"))


def shares_sessions(first: Connection, second: Connection) -> bool:
    """Ask both, each question a transaction of its own, while the second keeps one open now and then.

    `first` is in autocommit, `second` is not. Directly, and in session mode, each connection has one session, its own.
    In transaction mode a session that is free goes to who asks next: the one used last, so that the second gets the
    first one's, or each in its turn, so that the first is answered by another.
    """
    mine, others = set[int](), set[int]()
    for _ in range(ROUNDS):
        mine.add(session_of(first))
        others.add(session_of(second))  # and has it until the rollback: where it is the only one, the first would wait
        if mine & others:
            return True
        mine.add(session_of(first))
        second.rollback()
        mine.add(session_of(first))
    return len(mine) > 1 or len(others) > 1 or bool(mine & others)


def make_shared_cursor(schema: str) -> type[Cursor]:
    """A cursor that says in each of its transactions where Herald's tables are; a session of many keeps nothing of it.

    For those who look, through whatever is in between.
    """
    path = f"SET LOCAL search_path = {search_path(schema)}"

    class SharedCursor(Cursor):
        def execute(self, query: object, *values: Any) -> None:
            if self.name is None:
                super().execute(f"{path}; {query}", *values)  # one message of the protocol is one transaction
                return
            execute(self.connection, "SELECT")  # begins the transaction that a cursor with a name lives in
            super().execute(str(query), *values)

    return SharedCursor
