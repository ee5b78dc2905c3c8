"""Herald in the database of a caller, who has tables of the same names and an Alembic of his own."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
from alembic.script import ScriptDirectory

from herald.outbox.operate.migrate import make_config
from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.statements import fetch_column, fetch_value
from tests.conftest import ROOT, migrate
from tests.docs.pages import blocks
from tests.migrations.test_migrations import run_alembic
from tests.outbox.connections import accepted, connected, notification
from tests.servers.postgres import PostgresServer

ENV = """
import os
from alembic import context
from sqlalchemy import Column, Integer, MetaData, Table, create_engine

metadata = MetaData()
for name in ("messages", "outbox"):
    Table(name, metadata, Column("number", Integer, primary_key=True))

{include_name}

with create_engine(os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:")).connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, include_schemas=True{more})
    with context.begin_transaction():
        context.run_migrations()
"""
REVISION = """
from alembic import op

revision, down_revision = "their_first", None

def upgrade():
    op.execute("CREATE TABLE messages (number serial PRIMARY KEY); CREATE TABLE outbox (number serial PRIMARY KEY)")
"""
SHOWN = "\n".join(
    block.text for block in blocks(ROOT / "docs" / "operating.md", "python") if "def include_name" in block.text
)


class Caller(NamedTuple):
    """His folder with Alembic's environment, and the URL of the database for him."""

    folder: Path
    url: str

    def alembic(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "alembic", *arguments]
        environment = {"DATABASE_URL": self.url}
        return subprocess.run(
            command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False, timeout=60
        )


def write(folder: Path, *, include_name: str) -> None:
    """The environment, with what the page shows or without."""
    (folder / "versions").mkdir(exist_ok=True)
    (folder / "versions" / "their_first.py").write_text(REVISION, encoding="utf-8")
    more = ", include_name=include_name" if include_name else ""
    (folder / "env.py").write_text(ENV.format(include_name=include_name, more=more), encoding="utf-8")
    (folder / "alembic.ini").write_text("[alembic]\nscript_location = .\npath_separator = os\n", encoding="utf-8")


@pytest.fixture
def caller(tmp_path: Path, empty_database: str) -> Caller:
    write(tmp_path, include_name=SHOWN)
    return Caller(tmp_path, empty_database)


@pytest.fixture
def own_schema(server: PostgresServer, empty_database: str) -> Iterator[str]:
    """The URL for a role that owns its schema and may make nothing elsewhere."""
    role = f"r_{uuid4().hex}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    with closing(connect_plainly(empty_database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA herald AUTHORIZATION {role}")
        cursor.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC")
    yield empty_database.replace("postgres@", f"{role}@", 1)
    with closing(connect_plainly(empty_database)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"DROP OWNED BY {role} CASCADE")
    server.execute(f"DROP ROLE {role}")


def upgraded(caller: Caller) -> None:
    done = caller.alembic("upgrade", "head")
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("first", ["herald", "caller"])
def test_both_migrate_in_either_order_and_herald_needs_a_schema_alone(
    caller: Caller, own_schema: str, first: str
) -> None:
    if first == "caller":
        upgraded(caller)
    migrate(own_schema)
    if first == "herald":
        upgraded(caller)

    with closing(connect_plainly(caller.url)) as connection:
        found = fetch_column(connection, "SELECT version_num FROM public.alembic_version")
        assert (found, fetch_column(connection, "SELECT version_num FROM herald.alembic_version")) == (
            ["their_first"],
            [ScriptDirectory.from_config(make_config()).get_current_head()],
        )
        assert fetch_value(connection, "SELECT count(*) FROM public.messages") == 0
    for done in (caller.alembic("check"), run_alembic(own_schema, "check")):
        assert "No new upgrade operations detected" in done.stdout, done.stdout + done.stderr
    with connected(own_schema) as connection:
        accepted(connection, notification())
        assert fetch_value(connection, "SELECT count(*) FROM messages") == 1


def test_without_the_line_of_the_page_a_caller_who_compares_all_schemas_would_drop_ours(
    caller: Caller, own_schema: str
) -> None:
    migrate(own_schema)
    upgraded(caller)
    write(caller.folder, include_name="")

    done = caller.alembic("check")

    assert "remove_table" in done.stdout + done.stderr
    assert "herald" in done.stdout + done.stderr


def test_a_schema_may_have_another_name(empty_database: str) -> None:
    other = {"HERALD_SCHEMA": "order_book"}
    migrate(empty_database, **other)

    assert "No new upgrade operations detected" in run_alembic(empty_database, "check", **other).stdout
    with connected(empty_database, **other) as connection:
        accepted(connection, notification())
    assert "-x drop=order_book" in run_alembic(empty_database, "downgrade", "base", **other).stderr
    done = run_alembic(empty_database, "-x", "drop=order_book", "downgrade", "base", **other)
    assert done.returncode == 0, done.stderr


def test_the_sql_of_another_schema_can_be_printed_without_a_database() -> None:
    printed = run_alembic("", "upgrade", "head", "--sql", HERALD_SCHEMA="other").stdout

    assert 'CREATE SCHEMA "other"' in printed
    assert "SET search_path = other, pg_catalog, pg_temp" in printed


def test_a_wrong_name_of_the_schema_is_named(empty_database: str) -> None:
    for arguments in (("upgrade", "head"), ("upgrade", "head", "--sql")):
        done = run_alembic(empty_database, *arguments, HERALD_SCHEMA="pg_mine")
        assert "HERALD_SCHEMA: pg_mine is PostgreSQL's own" in done.stdout + done.stderr
