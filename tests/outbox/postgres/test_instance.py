"""A copy of a database is not the Herald it was copied from, until a person says which of the two it is."""

import subprocess
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest

from herald.outbox.moves.pauses import list_pauses
from herald.outbox.postgres.connections import connect, connect_watched, is_outage
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.postgres.instance import identified, note_timeline, read_instance
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.rebase import rebase
from herald.outbox.settings import Settings
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, connected, execute_and_commit, make_settings, notification
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer, connect_to_tables, standby_of

ENDED = 30.0  # seconds until a process has refused
PROCESSES = ("api", "relay", "pipeline")
# all connect by the same function: where it is not its first test, one of them is enough
ONE = ["relay", *(pytest.param(one, marks=pytest.mark.proof) for one in ("api", "pipeline"))]
NOWHERE = "127.0.0.1:1"


def assert_refused(start_herald: StartHerald, process: str, url: str, sentence: str, **settings: str) -> None:
    started = start_herald(process, **{"DATABASE_URL": url, "KAFKA_BOOTSTRAP_SERVERS": NOWHERE, **settings})
    eventually(lambda: not started.running, ENDED, what=f"{process} has refused")

    assert started.exit_code == 1
    assert sentence in started.output()


def id_of(url: str) -> str:
    with closing(connect_to_tables(url)) as connection:
        return read_instance(connection).id


def change(url: str, statement: str) -> None:
    with closing(connect_to_tables(url)) as connection:
        execute_and_commit(connection, statement)


@pytest.fixture
def copy(server: PostgresServer, database: str) -> Iterator[str]:
    """A copy beside the original in the same server, with one message that is pending there as well."""
    with connected(database) as connection:
        accepted(connection, notification())
    name, of = f"copy_{uuid4().hex}", database.partition("?")[0].rpartition("/")[2]
    server.execute(f"CREATE DATABASE {name} TEMPLATE {of}")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_works_in_a_copy(process: str, copy: str, start_herald: StartHerald) -> None:
    assert_refused(start_herald, process, copy, "is a copy of test_")


@pytest.mark.parametrize("opening", [connect, connect_watched])
def test_a_copy_is_refused_with_every_connection_and_the_original_with_none(
    database: str, copy: str, opening: object
) -> None:
    opening(make_settings(database), "test").close()  # type: ignore[operator]

    with pytest.raises(UnfitError, match="herald relay --rebase --copied") as refused:
        opening(make_settings(copy), "test")  # type: ignore[operator]

    assert is_outage(refused.value)


def test_a_database_restored_from_a_dump_is_a_copy(server: PostgresServer, database: str, empty_database: str) -> None:
    url, tool = empty_database, server.tool
    dump = subprocess.run([tool("pg_dump"), database], capture_output=True, check=True).stdout
    subprocess.run([tool("psql"), "-q", "-v", "ON_ERROR_STOP=1", url], input=dump, capture_output=True, check=True)

    with pytest.raises(UnfitError, match="is a copy of test_"):
        connect(make_settings(url), "test")


@pytest.mark.parametrize("process", ONE)
def test_no_process_works_in_a_promoted_base_backup(
    process: str, migrated_server: PostgresServer, start_herald: StartHerald
) -> None:
    with standby_of(migrated_server) as standby:
        standby.promote()

        assert_refused(start_herald, process, standby.url(), "is on timeline 2 and was on 1")


def test_a_fail_over_is_followed_where_that_is_set(migrated_server: PostgresServer) -> None:
    with standby_of(migrated_server) as standby:
        standby.promote()
        with closing(connect(make_settings(standby.url(), failover="automatic"), "test")) as connection:
            note_timeline(connection)
            connection.commit()

        connect(make_settings(standby.url()), "test").close()


def test_after_a_fail_over_moved_keeps_the_cursor_and_requests_nothing(database: str, broker: str) -> None:
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=broker)
    before = id_of(database)
    with connected(database) as connection:
        accepted(connection, notification())
    change(database, "UPDATE instance SET timeline = timeline + 1")

    assert rebase(settings) is None
    assert id_of(database) == before
    with connected(database) as connection:
        assert fetch(connection, "SELECT max(request) FROM messages") == [(1,)]


def test_moved_keeps_the_id_and_requests_again(copy: str, broker: str) -> None:
    before = id_of(copy)

    assert rebase(make_settings(copy, KAFKA_BOOTSTRAP_SERVERS=broker)) == 1
    assert id_of(copy) == before
    with connected(copy) as connection:
        assert list_pauses(connection) == []


def test_copied_makes_a_new_id_and_sends_nothing_before_it_is_resumed(copy: str, broker: str) -> None:
    before = id_of(copy)

    rebase(make_settings(copy, KAFKA_BOOTSTRAP_SERVERS=broker), as_copy=True)

    assert id_of(copy) != before
    with connected(copy) as connection:
        assert [pause.scope for pause in list_pauses(connection)] == ["all"]


def test_a_bare_rebase_asks_which_of_the_two_it_is(database: str, start_herald: StartHerald) -> None:
    started = start_herald("relay", "--rebase", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=NOWHERE)
    eventually(lambda: not started.running, ENDED, what="it has asked")

    assert started.exit_code == 2
    assert "--moved" in started.output()
    assert "--copied" in started.output()


def test_a_renamed_database_is_the_same(server: PostgresServer, database: str) -> None:
    name, another = database.partition("?")[0].rpartition("/")[2], f"renamed_{uuid4().hex}"
    server.execute(f"ALTER DATABASE {name} RENAME TO {another}")

    connect(make_settings(server.url(another)), "test").close()

    server.execute(f"ALTER DATABASE {another} RENAME TO {name}")


@pytest.mark.parametrize("process", ONE)
def test_a_process_with_another_source_does_not_start(process: str, database: str, start_herald: StartHerald) -> None:
    change(database, "UPDATE instance SET source = '/herald'")

    assert_refused(start_herald, process, database, "HERALD_SOURCE is /shop here", HERALD_SOURCE="/shop")


@pytest.mark.parametrize("process", ONE)
def test_a_process_with_another_prefix_does_not_start(process: str, database: str, start_herald: StartHerald) -> None:
    change(database, "UPDATE instance SET topic_prefix = ''")

    sentence = "HERALD_TOPIC_PREFIX is `shop.` here and empty where this database was first used: leave it empty"
    assert_refused(start_herald, process, database, sentence, HERALD_TOPIC_PREFIX="shop.")


def test_another_prefix_is_taken_over_by_a_rebase(database: str, broker: str) -> None:
    change(database, "UPDATE instance SET topic_prefix = ''")
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=broker, topic_prefix="shop.")

    rebase(settings)

    connect(settings, "test").close()


def test_the_first_process_decides_source_and_prefix(database: str, start_herald: StartHerald) -> None:
    said = {"HERALD_SOURCE": "/shop", "HERALD_TOPIC_PREFIX": "shop."}
    start_herald("relay", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=NOWHERE, **said)

    def is_stored() -> bool:
        with closing(connect_to_tables(database)) as connection:
            return fetch(connection, "SELECT source, topic_prefix FROM instance") == [("/shop", "shop.")]

    eventually(is_stored, ENDED, what="the source is stored")


def test_each_instance_has_a_group_of_its_own_unless_one_is_set(database: str) -> None:
    nothing_set = Settings.model_validate({"DATABASE_URL": database})
    with connected(database) as connection:
        known = identified(nothing_set, connection)
        told = identified(make_settings(database, group="ours"), connection)

    assert known.group == f"herald-{known.instance[:8]}"
    assert told.group == "ours"
    assert known.instance == id_of(database)
