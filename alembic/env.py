"""How migrations run: one at a time, and never in the way of traffic for long."""

from typing import Any

from alembic import context
from alembic.util import CommandError
from sqlalchemy import Connection, Engine, create_engine, pool, text
from sqlalchemy.dialects.postgresql.base import ischema_names

from herald.outbox.postgres import driver
from herald.outbox.postgres.connections import connect_anywhere
from herald.outbox.postgres.fitness import FOR_MIGRATIONS, UnfitError
from herald.outbox.postgres.locks import UPGRADE
from herald.outbox.postgres.schema import PgSnapshot, Xid8, metadata
from herald.outbox.settings import Settings, SettingsError, load_settings

LOCK_TIMEOUT = "5s"  # a DDL that is blocked for longer gives up instead of queueing every later query behind it

ischema_names.update(xid8=Xid8, pg_snapshot=PgSnapshot)  # SQLAlchemy does not know them yet: `alembic check` reads them


def _is_ours(_object: object, name: str | None, kind: str, reflected: bool, _other: object) -> bool:  # noqa: FBT001 - Alembic's signature
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
    # "named", or every % of a statement would be printed twice
    context.configure(dialect_name="postgresql", dialect_opts={"paramstyle": "named"}, literal_binds=True, **_options())
    with context.begin_transaction():
        context.run_migrations()


def _migrate(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_lock(:key)"), {"key": UPGRADE})
    connection.execute(text("SELECT set_config('lock_timeout', :timeout, false)"), {"timeout": LOCK_TIMEOUT})
    connection.commit()
    try:
        context.configure(connection=connection, **_options())
        with context.begin_transaction():
            context.run_migrations()
    finally:
        connection.rollback()
        connection.execute(text("SELECT pg_advisory_unlock(:key)"), {"key": UPGRADE})
        connection.commit()


def _engine() -> Engine:
    try:
        settings = load_settings().model_copy(update={"statement_timeout": 0.0})  # a migration takes what it takes
    except SettingsError as error:
        raise CommandError(str(error)) from None
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
