"""Sending in the caller's own transaction: what commits is delivered, what is rolled back never was.

The connection is the caller's, and neither committed nor rolled back here: one of psycopg, psycopg2, asyncpg or Django,
or a Session or Connection of SQLAlchemy. They are told apart by what they can do, so none of them is imported.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from http import HTTPStatus
from typing import Any, Concatenate, ParamSpec, TypeAlias, TypeVar

from herald_client import statements
from herald_client.errors import FieldError, problem_of
from herald_client.statements import DOLLARS, PERCENTS, Statement

P = ParamSpec("P")
T = TypeVar("T")
Connection: TypeAlias = Any
DriverError: TypeAlias = Any
REFUSED = "ZH"  # the first two letters of the SQLSTATE of a refusal; HTTP's status follows


def _sync(make: Callable[P, Statement[T]]) -> "Callable[Concatenate[Outbox, Connection, P], T]":
    @wraps(make)
    def call(outbox: "Outbox", connection: Connection, /, *arguments: P.args, **named: P.kwargs) -> T:
        statement = make(*arguments, **named)
        return statement.read(outbox.execute(connection, statement))

    return call


def _async(make: Callable[P, Statement[T]]) -> "Callable[Concatenate[AsyncOutbox, Connection, P], Awaitable[T]]":
    @wraps(make)
    async def call(outbox: "AsyncOutbox", connection: Connection, /, *arguments: P.args, **named: P.kwargs) -> T:
        statement = make(*arguments, **named)
        return statement.read(await outbox.execute(connection, statement))

    return call


class Outbox:
    """Herald's functions in its schema. A refusal is a ProblemError; all other errors are the driver's own."""

    def __init__(self, schema: str = "herald") -> None:
        self._schema = schema

    send = _sync(statements.send)
    notify = _sync(statements.notify)
    send_many = _sync(statements.send_many)
    cancel = _sync(statements.cancel)

    def execute(self, connection: Connection, statement: Statement[T]) -> str:
        """The answer as text. Raises ProblemError, or what the driver raises."""
        with _refusals():
            if hasattr(connection, "get_bind"):  # a Session of SQLAlchemy
                connection = connection.connection()
            if hasattr(connection, "exec_driver_sql"):
                sql = statement.sql(self._schema, _style(connection))
                return str(connection.exec_driver_sql(sql, statement.arguments).scalar_one())
            with connection.cursor(**_plain_rows(connection)) as cursor:
                cursor.execute(statement.sql(self._schema, PERCENTS), statement.arguments)
                return _first(cursor.fetchone())


class AsyncOutbox:
    """The same over asyncpg, psycopg's AsyncConnection, or an AsyncSession or AsyncConnection of SQLAlchemy."""

    def __init__(self, schema: str = "herald") -> None:
        self._schema = schema

    send = _async(statements.send)
    notify = _async(statements.notify)
    send_many = _async(statements.send_many)
    cancel = _async(statements.cancel)

    async def execute(self, connection: Connection, statement: Statement[T]) -> str:
        """The answer as text. Raises ProblemError, or what the driver raises."""
        with _refusals():
            if hasattr(connection, "fetchval"):  # asyncpg
                return str(await connection.fetchval(statement.sql(self._schema, DOLLARS), *statement.arguments))
            if hasattr(connection, "get_bind"):  # a Session of SQLAlchemy
                connection = await connection.connection()
            if hasattr(connection, "exec_driver_sql"):
                sql = statement.sql(self._schema, _style(connection))
                return str((await connection.exec_driver_sql(sql, statement.arguments)).scalar_one())
            async with connection.cursor(**_plain_rows(connection)) as cursor:
                await cursor.execute(statement.sql(self._schema, PERCENTS), statement.arguments)
                return _first(await cursor.fetchone())


def _style(connection: Connection) -> str:
    return DOLLARS if connection.dialect.paramstyle == "numeric_dollar" else PERCENTS


def _plain_rows(connection: Connection) -> dict[str, Any]:
    """For psycopg, which would otherwise make rows as the caller's own statements want them."""
    return {"row_factory": lambda _: tuple} if hasattr(connection, "row_factory") else {}


def _first(row: Mapping[str, object] | Sequence[object]) -> str:
    return str(next(iter(row.values())) if isinstance(row, Mapping) else row[0])


@contextmanager
def _refusals() -> Iterator[None]:
    """What Herald refuses becomes a ProblemError; whatever else a driver raises goes on."""
    try:
        yield
    except Exception as error:
        cause = _cause(error)
        state = str(getattr(cause, "sqlstate", None) or getattr(cause, "pgcode", None))
        if not state.startswith(REFUSED):
            raise
        told: DriverError = getattr(cause, "diag", cause)
        text, field = str(getattr(told, "message_primary", None) or told.message), str(told.column_name)
        status = HTTPStatus(int(state.removeprefix(REFUSED)))
        errors = (FieldError(field, text.removeprefix(f"{field}: ")),)
        raise problem_of(status, status.phrase, text, errors, None) from error


def _cause(error: Exception) -> DriverError:
    """The driver's error: in SQLAlchemy's `orig`, and below its adapter of asyncpg; the cause of Django's."""
    found = getattr(error, "orig", None) or error
    return found.__cause__ or found
