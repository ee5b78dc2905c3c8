"""A program of a caller's: `python -m tests.proof.callers.program WAY` does what each line of its input says.

A line is a list in JSON of steps, which are lists too: `["begin", LEVEL]`, `["run", SQL]`, `["save"]`, `["back"]` to
that savepoint, `["commit"]`, `["rollback"]`, and `["say", WORD]`, which it prints. After `["wait"]` it does nothing
more. DATABASE_URL says where. The same programs for Node and Go stand beside it.
"""

import asyncio
import json
import os
import sys
from contextlib import ExitStack
from typing import Any, Protocol

import asyncpg
import django
import psycopg
from django.conf import settings
from django.db import connection as of_django
from django.db import transaction
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

URL = os.environ["DATABASE_URL"]


class Way(Protocol):
    """How a caller reaches PostgreSQL."""

    def begin(self, level: str) -> None: ...
    def run(self, sql: str) -> None: ...
    def save(self) -> None: ...
    def back(self) -> None: ...
    def commit(self) -> None: ...
    def rollback(self) -> None: ...


class Psycopg:
    def __init__(self) -> None:
        self._connection = psycopg.connect(URL)
        self._nested = ExitStack()
        self.commit, self.rollback = self._connection.commit, self._connection.rollback

    def begin(self, level: str) -> None:
        self._connection.isolation_level = psycopg.IsolationLevel[level.replace(" ", "_")]

    def run(self, sql: str) -> None:
        self._connection.execute(sql.encode())

    def save(self) -> None:
        self._nested.enter_context(self._connection.transaction(force_rollback=True))

    def back(self) -> None:
        self._nested.close()


class Django:
    def __init__(self) -> None:
        parts = conninfo_to_dict(URL)
        place = {name.upper(): parts[name] for name in ("user", "host", "port")}
        engine = {"ENGINE": "django.db.backends.postgresql", "NAME": parts["dbname"]}
        settings.configure(DATABASES={"default": {**engine, **place}})
        django.setup()
        self._savepoint: Any = None

    def begin(self, level: str) -> None:
        self._block = transaction.atomic()
        self._block.__enter__()
        self.run(f"SET TRANSACTION ISOLATION LEVEL {level}")

    def run(self, sql: str) -> None:
        with of_django.cursor() as cursor:
            cursor.execute(sql)

    def save(self) -> None:
        self._savepoint = transaction.savepoint()

    def back(self) -> None:
        transaction.savepoint_rollback(self._savepoint)

    def commit(self) -> None:
        self._block.__exit__(None, None, None)

    def rollback(self) -> None:
        transaction.set_rollback(True)
        self.commit()


class SqlAlchemy:
    def __init__(self) -> None:
        url = URL.replace("postgresql:", "postgresql+psycopg2:", 1)
        self._session = Session(create_engine(url, poolclass=NullPool))
        self.commit, self.rollback = self._session.commit, self._session.rollback

    def begin(self, level: str) -> None:
        self._session.connection(execution_options={"isolation_level": level})

    def run(self, sql: str) -> None:
        self._session.execute(text(sql))

    def save(self) -> None:
        self._nested = self._session.begin_nested()

    def back(self) -> None:
        self._nested.rollback()


class AsyncSqlAlchemy:
    def __init__(self) -> None:
        self._await = asyncio.Runner().run
        url = URL.replace("postgresql:", "postgresql+asyncpg:", 1)
        self._session = AsyncSession(create_async_engine(url, poolclass=NullPool))

    def begin(self, level: str) -> None:
        self._await(self._session.connection(execution_options={"isolation_level": level}))

    def run(self, sql: str) -> None:
        self._await(self._session.execute(text(sql)))

    def save(self) -> None:
        async def nest() -> None:
            self._nested = await self._session.begin_nested()

        self._await(nest())

    def back(self) -> None:
        self._await(self._nested.rollback())

    def commit(self) -> None:
        self._await(self._session.commit())

    def rollback(self) -> None:
        self._await(self._session.rollback())


class Asyncpg:
    def __init__(self) -> None:
        self._await = asyncio.Runner().run
        self._connection = self._await(asyncpg.connect(URL))

    def begin(self, level: str) -> None:
        self._whole = self._connection.transaction(isolation=level.lower().replace(" ", "_"))
        self._await(self._whole.start())

    def run(self, sql: str) -> None:
        self._await(self._connection.execute(sql))

    def save(self) -> None:
        self._nested = self._connection.transaction()
        self._await(self._nested.start())

    def back(self) -> None:
        self._await(self._nested.rollback())

    def commit(self) -> None:
        self._await(self._whole.commit())

    def rollback(self) -> None:
        self._await(self._whole.rollback())


WAYS: dict[str, type[Way]] = {
    "SQLAlchemy": SqlAlchemy,
    "SQLAlchemy, asyncio": AsyncSqlAlchemy,
    "Django": Django,
    "psycopg": Psycopg,
    "asyncpg": Asyncpg,
}


def main() -> None:
    way = WAYS[sys.argv[1]]()
    for line in sys.stdin:
        for name, *given in json.loads(line):
            if name == "say":
                sys.stdout.write(f"{given[0]}\n")
                sys.stdout.flush()
            elif name == "wait":
                sys.stdin.read()
            else:
                getattr(way, name)(*given)


if __name__ == "__main__":
    main()
