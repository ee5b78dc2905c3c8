"""psycopg2 by the names that Herald uses; nobody else imports it."""

from typing import TypeAlias

import psycopg2
from psycopg2 import (
    DatabaseError,
    DataError,
    IntegrityError,
    InterfaceError,
    OperationalError,
    ProgrammingError,
    errors,
)
from psycopg2 import connect as connect_plainly
from psycopg2.extensions import parse_dsn, quote_ident

__all__ = [
    "Connection",
    "Cursor",
    "DataError",
    "DatabaseError",
    "IntegrityError",
    "InterfaceError",
    "OperationalError",
    "PostgresError",
    "ProgrammingError",
    "connect_plainly",
    "errors",
    "parse_dsn",
    "quote_ident",
]

Connection: TypeAlias = psycopg2.extensions.connection
Cursor: TypeAlias = psycopg2.extensions.cursor
PostgresError: TypeAlias = psycopg2.Error  # of all that PostgreSQL or the way to it is to blame for
