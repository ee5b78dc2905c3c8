"""Programs of others, which know Herald's functions and nothing else of it."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

from herald.outbox.postgres.driver import Connection, PostgresError, connect_plainly
from herald.outbox.postgres.statements import fetch_value
from tests.servers.postgres import PostgresServer

SEND = "SELECT herald.send(%s, %s, %s, %s)::text"
CANCEL = "SELECT herald.cancel(%s)"


class Caller(NamedTuple):
    """A login that is a member of `herald_sender`, and the URL of the database for it."""

    name: str
    url: str

    @contextmanager
    def connected(self) -> Iterator[Connection]:
        with closing(connect_plainly(self.url, options="-c statement_timeout=5s")) as connection:
            yield connection


@contextmanager
def made_caller(server: PostgresServer, database: str, name: str) -> Iterator[Caller]:
    server.execute(f"CREATE ROLE {name} LOGIN IN ROLE herald_sender")
    yield Caller(name, database.replace("postgres@", f"{name}@", 1))
    server.execute(f"DROP ROLE {name}")


def send(connection: Connection, data: str = "{}", *, topic: str = "generic_topic", **more: Any) -> str:
    return str(fetch_value(connection, SEND, topic, data, more.get("key"), more.get("options")))


def refusal(connection: Connection, statement: str, *values: object) -> PostgresError:
    """The error that a statement ends with; its transaction is rolled back."""
    try:
        fetch_value(connection, statement, *values)
    except PostgresError as error:
        connection.rollback()
        return error
    message = f"not refused: {statement} {values}"
    raise AssertionError(message)


def status_of(error: PostgresError) -> int:
    """That of HTTP which the SQLSTATE names; what is no JSON at all PostgreSQL refuses itself."""
    if str(error.pgcode).startswith("22"):
        return 400
    field = error.diag.column_name
    assert str(error.pgcode).startswith("ZH"), error
    assert field == error.diag.message_detail
    assert error.diag.message_hint
    assert str(error.diag.message_primary).startswith(f"{field}: ")
    return int(str(error.pgcode)[2:])
