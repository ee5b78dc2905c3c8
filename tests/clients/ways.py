"""Transactions as callers have them: each way to reach PostgreSQL from Python, with its own connection."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager, contextmanager
from functools import cache
from typing import Any

import asyncpg
import django
import psycopg
import psycopg2.extras
from django.conf import settings
from django.db.utils import ConnectionHandler
from psycopg.conninfo import conninfo_to_dict
from psycopg.rows import scalar_row
from sqlalchemy import Engine, create_engine
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession, create_async_engine
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool


@contextmanager
def of_psycopg(url: str) -> Iterator[Any]:
    with psycopg.connect(url) as connection, connection.transaction():
        yield connection


@contextmanager
def of_psycopg_with_rows_of_its_own(url: str) -> Iterator[Any]:
    with psycopg.connect(url, row_factory=scalar_row) as connection:
        yield connection


@contextmanager
def of_psycopg2(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


@contextmanager
def of_psycopg2_with_rows_as_dicts(url: str) -> Iterator[Any]:
    connection = psycopg2.connect(url, cursor_factory=psycopg2.extras.RealDictCursor)
    try:
        with connection:
            yield connection
    finally:
        connection.close()


@contextmanager
def of_django(url: str) -> Iterator[Any]:
    if not settings.configured:
        settings.configure()
        django.setup()
    parts = conninfo_to_dict(url)
    place = {name.upper(): parts[name] for name in ("user", "host", "port")}
    handler = ConnectionHandler(
        {"default": {"ENGINE": "django.db.backends.postgresql", "NAME": parts["dbname"], **place}}
    )
    connection = handler["default"]
    connection.ensure_connection()
    connection.set_autocommit(False)
    try:
        yield connection
        connection.commit()
    finally:
        connection.close()


@contextmanager
def of_a_sqlalchemy_session(url: str) -> Iterator[Any]:
    with Session(_engine(url, "psycopg2")) as session, session.begin():
        yield session


@contextmanager
def of_a_sqlalchemy_connection(url: str) -> Iterator[Any]:
    with _engine(url, "psycopg").begin() as connection:
        yield connection


@asynccontextmanager
async def of_asyncpg(url: str) -> AsyncIterator[Any]:
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            yield connection
    finally:
        await connection.close()


@asynccontextmanager
async def of_psycopgs_async_connection(url: str) -> AsyncIterator[Any]:
    async with await psycopg.AsyncConnection.connect(url) as connection:
        yield connection


@asynccontextmanager
async def of_a_sqlalchemy_async_session(url: str) -> AsyncIterator[Any]:
    async with AsyncSession(_async_engine(url, "asyncpg")) as session, session.begin():
        yield session


@asynccontextmanager
async def of_a_sqlalchemy_async_connection(url: str) -> AsyncIterator[Any]:
    async with _async_engine(url, "psycopg").begin() as connection:
        yield connection


@cache  # each new one looks around in the database first
def _engine(url: str, driver: str) -> Engine:
    return create_engine(_driven(url, driver), poolclass=NullPool)


@cache
def _async_engine(url: str, driver: str) -> AsyncEngine:
    return create_async_engine(_driven(url, driver), poolclass=NullPool)


def _driven(url: str, driver: str) -> str:
    return url.replace("postgresql://", f"postgresql+{driver}://")


WAYS: list[Callable[[str], AbstractContextManager[Any]]] = [
    of_psycopg,
    of_psycopg_with_rows_of_its_own,
    of_psycopg2,
    of_psycopg2_with_rows_as_dicts,
    of_django,
    of_a_sqlalchemy_session,
    of_a_sqlalchemy_connection,
]
ASYNC_WAYS: list[Callable[[str], AbstractAsyncContextManager[Any]]] = [
    of_asyncpg,
    of_psycopgs_async_connection,
    of_a_sqlalchemy_async_session,
    of_a_sqlalchemy_async_connection,
]
