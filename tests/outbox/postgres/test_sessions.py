"""What a role or a database says of its sessions changes nothing that Herald depends on."""

from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest

from herald.outbox.postgres.connections import connect, connect_watched
from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.engine import make_engine
from herald.outbox.postgres.session_settings import ALWAYS, STEADY
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.cursor import load, save
from herald.outbox.relay.session import open_session
from tests.outbox.connections import connected, execute_and_commit, make_settings
from tests.servers.postgres import PostgresServer

HARMFUL = {
    "synchronous_commit": "off",
    "default_transaction_isolation": "serializable",
    "default_transaction_deferrable": "on",
    "row_security": "on",
    "timezone": "Asia/Kathmandu",
    "datestyle": "SQL, DMY",
    "intervalstyle": "sql_standard",
    "extra_float_digits": "-15",
    "bytea_output": "escape",
    "transform_null_equals": "on",
    "array_nulls": "off",
    "lock_timeout": "1ms",
    "idle_session_timeout": "1s",
    "transaction_timeout": "1s",
    "max_parallel_workers_per_gather": "8",
    "jit": "on",
    "plan_cache_mode": "force_custom_plan",
    "enable_nestloop": "off",
    "enable_indexscan": "off",
    "enable_indexonlyscan": "off",
    "default_table_access_method": "heap",
    "enable_seqscan": "on",
    "statement_timeout": "200ms",
    "idle_in_transaction_session_timeout": "200ms",
    "client_encoding": "LATIN1",
    "standard_conforming_strings": "off",
    "search_path": "pg_temp, public, pg_catalog",
}
FORCED = ("force_parallel_mode", "debug_parallel_query")  # before PostgreSQL 16, and since
OTHERWISE = {
    "datestyle": "ISO, MDY",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
    "search_path": "herald, pg_catalog, pg_temp",
}


@pytest.fixture(params=["ROLE", "DATABASE"])
def contrary(server: PostgresServer, database: str, request: pytest.FixtureRequest) -> Iterator[str]:
    """A role, or the database, for which all of it is set the wrong way; the role owns nothing else."""
    role, name = f"r_{uuid4().hex}", database.partition("?")[0].rpartition("/")[2]
    with closing(connect_plainly(database)) as owner:
        execute_and_commit(owner, f"CREATE ROLE {role} LOGIN SUPERUSER")
        of = role if request.param == "ROLE" else name
        known = {setting for (setting,) in fetch(owner, "SELECT lower(name) FROM pg_settings")}
        for setting in HARMFUL.keys() & known:
            value = HARMFUL[setting]
            quoted = value if "," in value else f"'{value}'"
            execute_and_commit(owner, f"ALTER {request.param} {of} SET {setting} = {quoted}")
    yield database.replace("postgresql://postgres@", f"postgresql://{role}@")
    server.execute(f"DROP ROLE {role}")


def test_every_setting_has_a_contrary() -> None:
    assert ALWAYS.keys() <= HARMFUL.keys()


@pytest.mark.parametrize("opening", [connect, connect_watched])
def test_whatever_role_and_database_say_a_session_has_heralds_settings(contrary: str, opening: object) -> None:
    with closing(opening(make_settings(contrary), "test")) as connection:  # type: ignore[operator]
        found: dict[str, str] = dict(fetch(connection, "SELECT lower(name), current_setting(name) FROM pg_settings"))

    wanted = {name: value for name, value in {**ALWAYS, **OTHERWISE}.items() if name in found}
    assert {name: found[name] for name in wanted} == wanted
    assert (found["statement_timeout"], found["idle_in_transaction_session_timeout"]) == ("15s", "30s")


def test_a_steady_session_plans_once_and_for_every_size(contrary: str) -> None:
    with closing(connect_watched(make_settings(contrary), "test", is_steady=True)) as connection:
        found: dict[str, str] = dict(fetch(connection, "SELECT lower(name), current_setting(name) FROM pg_settings"))

    assert {name: found[name] for name in STEADY} == STEADY
    assert found["max_parallel_workers_per_gather"] == "0"


def test_the_pool_for_reads_has_them_too(contrary: str) -> None:
    engine = make_engine(make_settings(contrary), "test")
    with engine.connect() as connection:
        found = connection.exec_driver_sql("SELECT current_setting('TimeZone'), current_setting('jit')").one()
    engine.dispose()

    assert tuple(found) == ("UTC", "off")


def test_what_the_driver_quotes_stays_what_it_was(contrary: str) -> None:
    hostile = "a'b\\'c\\\\ \u00fc \u2603 \\x41"
    with connected(contrary) as connection:
        assert fetch(connection, "SELECT %s, '\\'", hostile) == [(hostile, "\\")]


def test_no_setting_that_loses_a_commit_stays_with_the_relays_session(database: str) -> None:
    with closing(open_session(make_settings(database))) as session:
        save(session, load(session))

        assert fetch(session, "SHOW synchronous_commit") == [("on",)]


def test_no_look_starts_further_processes(database: str) -> None:
    with closing(connect_plainly(database)) as owner:
        forced = FORCED[owner.server_version >= 160_000]  # PostgreSQL finds a reason from 100,000 rows on
        for setting, value in (("max_parallel_workers_per_gather", "8"), (forced, "on")):
            execute_and_commit(owner, f"ALTER DATABASE {owner.info.dbname} SET {setting} = {value}")

    with closing(open_session(make_settings(database))) as session:
        plan = fetch(session, "EXPLAIN SELECT count(*) FROM outbox")

    assert "Gather" not in str(plan)


def test_options_of_the_url_reach_the_server_as_psql_sends_them(database: str) -> None:
    with connected(f"{database}&options=-c%20work_mem%3D5MB%20-c%20search_path%3Dx") as connection:
        assert fetch(connection, "SHOW work_mem") == [("5MB",)]
        assert fetch(connection, "SHOW search_path") == [("herald, pg_catalog, pg_temp",)]


def test_a_folder_with_a_space_is_reached(own_server: PostgresServer) -> None:
    spaced = own_server.folder / "a folder"
    spaced.mkdir()
    (spaced / own_server.socket.name).symlink_to(own_server.socket)
    url = own_server.url().replace(str(own_server.folder), str(spaced).replace(" ", "%20"))

    with connected(url) as connection:
        assert fetch(connection, "SELECT 1") == [(1,)]
