"""How migrations run: one at a time, and never in the way of traffic.

A DDL that waits for a lock keeps all who come later waiting as well: it gives up after a moment, and its migration
begins again, until it comes through. So a part that an autocommit block has committed may be run twice.
"""

import logging
from threading import Event
from typing import Any, TypeVar, cast

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, pool, text
from sqlalchemy.dialects.postgresql.base import ischema_names
from sqlalchemy.exc import OperationalError

from herald.outbox.postgres import driver
from herald.outbox.postgres.connections import connect_anywhere
from herald.outbox.postgres.fitness import FOR_MIGRATIONS, UnfitError
from herald.outbox.postgres.holders import holder
from herald.outbox.postgres.locks import SCHEMA, UPGRADE
from herald.outbox.postgres.schema import PgSnapshot, Xid8, metadata
from herald.outbox.postgres.session_settings import search_path
from herald.outbox.settings import SchemaSettings, Settings, SettingsError, load_settings

S = TypeVar("S", bound=SchemaSettings)
LOCK_TIMEOUT = "50ms"
PAUSE = 0.5  # seconds between two tries
_log = logging.getLogger("herald.migrations")  # of those below "alembic" a plain `alembic` shows nothing

# Looked for first: IF NOT EXISTS would need the right to make one all the same. Of two upgrades one is faster.
MAKE_SCHEMA = """
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_namespace WHERE nspname = '{schema}') THEN
        CREATE SCHEMA "{schema}";
    END IF;
EXCEPTION WHEN duplicate_schema OR unique_violation THEN
    NULL;
END $$
"""

ischema_names.update(xid8=Xid8, pg_snapshot=PgSnapshot)  # SQLAlchemy does not know them yet: `alembic check` reads them


def _is_ours(_object: object, name: str | None, kind: str, *more: Any) -> bool:
    reflected, _ = more
    partitions = ("outbox_y", "messages_y", "outbox_before_", "messages_before_")
    return not (kind == "table" and reflected and name is not None and name.startswith(partitions))


def _default_differs(
    _context: object, _inspected: object, _column: object, stored: str | None, *ours: str | None
) -> bool | None:
    """Compare sequences by name: Alembic would evaluate both, and two calls of nextval() never agree."""
    if stored is not None and stored.startswith("nextval("):
        return stored not in ours
    return None


def _options() -> dict[str, Any]:
    return {
        "target_metadata": metadata,
        "include_object": _is_ours,
        "compare_server_default": _default_differs,
        "transaction_per_migration": True,
    }


def _print_sql() -> None:
    schema = _load(SchemaSettings).database_schema
    context.config.attributes["schema"] = schema
    # "named", or every % of a statement would be printed twice
    context.configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, literal_binds=True, **_options())
    with context.begin_transaction():
        context.execute(MAKE_SCHEMA.format(schema=schema))
        context.execute(f"SET search_path = {search_path(schema)}")
        context.run_migrations()


def _migrate(connection: Connection) -> None:
    context.config.attributes["schema"] = _make_schema(connection)
    connection.execute(text(f"SELECT pg_advisory_lock({SCHEMA}::integer, :key)"), {"key": UPGRADE})
    connection.execute(text("SELECT set_config('lock_timeout', :timeout, false)"), {"timeout": LOCK_TIMEOUT})
    connection.commit()
    try:
        _run(connection)
    finally:
        connection.rollback()
        connection.execute(text(f"SELECT pg_advisory_unlock({SCHEMA}::integer, :key)"), {"key": UPGRADE})
        connection.commit()


def _run(connection: Connection) -> None:
    """Says for whom it waits, once for each."""
    waits_for, pause = "", Event()
    while True:
        try:
            context.configure(connection=connection, **_options())
            with context.begin_transaction():
                context.run_migrations()
        except OperationalError as error:
            if not isinstance(error.orig, driver.errors.LockNotAvailable):
                raise
            connection.rollback()
            opened = cast(driver.Connection, connection.connection.driver_connection)
            if (found := holder(opened)) != waits_for:
                waits_for = found
                _log.warning("the migration waits for %s, and keeps nobody waiting", waits_for)
            opened.rollback()  # what is asked past SQLAlchemy has a transaction that it does not know of
            pause.wait(PAUSE)
        else:
            return


def _make_schema(connection: Connection) -> str:
    """Make it where it is missing; returns its name. Raises CommandError for a connection that is not Herald's."""
    path = str(connection.execute(text("SELECT current_setting('search_path')")).scalar_one())
    schema = path.partition(",")[0]
    if path != search_path(schema):
        message = f"the search path of the connection that Alembic was given is {path}: let Herald open it"
        raise CommandError(message)
    connection.execute(text(MAKE_SCHEMA.format(schema=schema)))
    connection.commit()
    connection.dialect.default_schema_name = schema  # the dialect looked before there was one
    return schema


def _load(kind: type[S]) -> S:
    try:
        return load_settings(kind)
    except SettingsError as error:
        raise CommandError(str(error)) from None


def _engine() -> Engine:
    settings = _load(Settings).model_copy(update={"statement_timeout": 0.0})  # a migration takes what it takes
    return create_engine("postgresql+psycopg2://", creator=lambda: _connect(settings), poolclass=pool.NullPool)


def _connect(settings: Settings) -> driver.Connection:
    """Whose URL it is, libpq understands. Raises CommandError where Herald cannot work in this database."""
    try:
        return connect_anywhere(settings, "herald-migrate", checks=FOR_MIGRATIONS)
    except UnfitError as error:
        raise CommandError(str(error)) from None


if context.is_offline_mode():
    _print_sql()
else:
    given = context.config.attributes.get("connection")
    if isinstance(given, Connection):
        _migrate(given)
    else:
        with (given or _engine()).connect() as opened:
            _migrate(opened)
