"""Roles belong to the whole cluster: Heralds of several databases and schemas share or make them."""

from collections.abc import Iterator

import pytest
from click.testing import CliRunner

from herald.outbox.operate.roles import command
from herald.outbox.postgres.driver import errors
from herald.outbox.postgres.statements import fetch, fetch_column
from tests.conftest import migrate
from tests.migrations.test_migrations import run_alembic, run_script
from tests.outbox.connections import connected
from tests.outbox.operate.doctor.findings import look_once
from tests.servers.postgres import PostgresServer

OTHER = {"HERALD_SCHEMA": "order_book"}
OURS = "SELECT rolname::text FROM pg_roles WHERE starts_with(rolname, 'order_book_') ORDER BY rolname"
ALL = [f"order_book_{part}" for part in ("api", "owner", "pipeline", "reader", "relay", "sender")]


@pytest.fixture
def maker(request: pytest.FixtureRequest, server: PostgresServer, empty_database: str) -> Iterator[str]:
    """The URL for a role that owns a schema and is no superuser."""
    server.execute(f"CREATE ROLE maker LOGIN {request.param}")
    name = empty_database.partition("?")[0].rpartition("/")[2]
    server.execute("CREATE SCHEMA order_book AUTHORIZATION maker", name)
    url = empty_database.replace("postgres@", "maker@", 1)
    yield url
    done = run_alembic(url, "downgrade", "base", **OTHER)
    for role in fetch_column_of(empty_database):
        server.execute(f"DROP ROLE {role}")
    server.execute("DROP OWNED BY maker CASCADE", name)
    server.execute("DROP ROLE maker")
    assert done.returncode == 0, done.stderr


def fetch_column_of(url: str) -> list[str]:
    with connected(url) as connection:
        return fetch_column(connection, OURS)


def test_a_downgrade_of_one_database_takes_nothing_from_another(database: str, empty_database: str) -> None:
    migrate(empty_database)
    assert look_once(empty_database, "roles").level == "ok"

    done = run_alembic(empty_database, "downgrade", "base")

    assert done.returncode == 0, done.stderr
    assert look_once(database, "roles").level == "ok"
    migrate(empty_database)
    assert look_once(empty_database, "roles").level == "ok"


def test_two_heralds_of_one_database_have_roles_of_their_own(database: str) -> None:
    migrate(database, **OTHER)
    assert fetch_column_of(database) == ALL
    assert look_once(database, "roles", **OTHER).level == look_once(database, "roles").level == "ok"

    done = run_alembic(database, "downgrade", "base", **OTHER)

    assert done.returncode == 0, done.stderr
    assert fetch_column_of(database) == []
    assert look_once(database, "roles").level == "ok"


@pytest.mark.parametrize("maker", ["CREATEROLE"], indirect=True)
def test_a_login_is_not_taken_for_a_role_by_its_name(maker: str, server: PostgresServer) -> None:
    server.execute("CREATE ROLE order_book_api LOGIN")
    refused = run_alembic(maker, "upgrade", "head", **OTHER)
    assert refused.returncode != 0
    assert "order_book_api can log in, and would be a role of Herald's by its name" in refused.stderr

    server.execute("DROP ROLE order_book_api")
    migrate(maker, **OTHER)
    server.execute("ALTER ROLE order_book_api LOGIN")
    found = look_once(maker, "roles", **OTHER)

    assert (found.level, found.text[:24]) == ("problem", "order_book_api can log i")
    assert found.advice == "ALTER ROLE order_book_api NOLOGIN;"


@pytest.mark.parametrize("maker", ["CREATEROLE"], indirect=True)
def test_a_role_that_may_make_roles_and_is_no_superuser_makes_them(maker: str) -> None:
    migrate(maker, **OTHER)

    assert fetch_column_of(maker) == ALL
    assert look_once(maker, "roles", **OTHER).level == "ok"


@pytest.mark.parametrize("maker", ["NOCREATEROLE"], indirect=True)
def test_where_the_migration_may_make_no_roles_an_administrator_does(maker: str, empty_database: str) -> None:
    migrate(maker, **OTHER)
    missing = look_once(maker, "roles", **OTHER)
    assert (missing.level, missing.text[:8]) == ("note", "not made")

    printed = CliRunner().invoke(command, env={"DATABASE_URL": maker, **OTHER})
    run_script(empty_database, printed.output)

    assert look_once(maker, "roles", **OTHER).level == "ok"


def test_the_printed_sql_of_a_migration_makes_roles_too(empty_database: str) -> None:
    run_script(empty_database, run_alembic(empty_database, "upgrade", "head", "--sql").stdout)

    assert look_once(empty_database, "roles").level == "ok"
    with connected(empty_database) as connection, pytest.raises(errors.InsufficientPrivilege):
        fetch(connection, "SET ROLE herald_reader; SELECT herald.send('generic_topic', '{}')")
