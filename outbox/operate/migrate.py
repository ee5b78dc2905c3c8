"""`herald migrate`: bring the database to the newest revision."""

import contextlib
import threading
from importlib.resources import files
from pathlib import Path

import rich_click as click
from alembic import command as alembic
from alembic.config import Config

from herald.outbox.logs import configure_logs
from herald.outbox.operate.opening import answering
from herald.outbox.postgres.connections import connect_anywhere
from herald.outbox.postgres.driver import Connection, OperationalError
from herald.outbox.postgres.fitness import FOR_MIGRATIONS, UnfitError
from herald.outbox.postgres.registered import register_names
from herald.outbox.settings import Settings
from herald.outbox.startup import refuse_shared, wait_until


@click.command("migrate")
def command() -> None:
    """Upgrade the database, as `alembic upgrade head` does; waits for it to answer first.

    Then it registers the topics and channels that are known here, those of extensions as well.
    """
    configure_logs("migrate")
    with answering(UnfitError) as settings:
        wait_until(lambda: _look(settings), what="the database", on=OperationalError, stop=threading.Event())
    alembic.upgrade(make_config(), "head")
    with contextlib.closing(_connect(settings)) as connection, connection:
        register_names(connection)


def _look(settings: Settings) -> None:
    """Raises UnfitError, OperationalError."""
    with contextlib.closing(_connect(settings)) as connection:
        refuse_shared(connection, settings)


def _connect(settings: Settings) -> Connection:
    return connect_anywhere(settings, "herald-migrate", checks=FOR_MIGRATIONS)


def make_config() -> Config:
    """Alembic's configuration: the migrations in the checkout, or the copy inside the installed wheel."""
    inside = Path(str(files("herald.outbox"))) / "_alembic"
    beside = Path(__file__).resolve().parent.parent.parent / "alembic"
    config = Config()
    config.set_main_option("script_location", str(inside if inside.is_dir() else beside))
    return config
