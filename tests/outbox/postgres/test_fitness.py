"""Where Herald cannot work, every process says so at its start, in one sentence that names the cure."""

import threading
from collections.abc import Iterator
from contextlib import closing
from uuid import uuid4

import pytest

from herald.outbox.postgres.connections import connect, connect_anywhere, is_outage
from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.fitness import (
    FOR_MIGRATIONS,
    Facts,
    StandbyError,
    UnfitError,
    read_facts,
    strings,
    version,
)
from herald.outbox.postgres.statements import fetch_value
from herald.outbox.relay.process import run
from herald.outbox.startup import refuse_shared
from tests.conftest import StartHerald
from tests.outbox.connections import connected, execute_and_commit, make_settings
from tests.servers.eventually import eventually
from tests.servers.pgbouncer import PgBouncer, needs_pgbouncer
from tests.servers.pooler import Pooler
from tests.servers.ports import free_port
from tests.servers.postgres import PostgresServer, standby_of

ENDED = 30.0  # seconds until a process has refused
PROCESSES = ("api", "relay", "pipeline", "migrate")
KAFKA = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1"}


def assert_refused(start_herald: StartHerald, process: str, url: str, sentence: str) -> None:
    started = start_herald(process, DATABASE_URL=url, **KAFKA)
    eventually(lambda: not started.running, ENDED, what=f"{process} has refused")

    assert started.exit_code == 1
    assert sentence in started.output()
    assert "Traceback" not in started.output()


@pytest.fixture
def latin_database(server: PostgresServer) -> Iterator[str]:
    name = f"test_{uuid4().hex}"
    server.execute(f"CREATE DATABASE {name} ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
    yield server.url(name)
    server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize("process", PROCESSES)
def test_no_process_works_through_a_pooler_in_transaction_mode(
    process: str, database: str, start_herald: StartHerald
) -> None:
    with Pooler(database) as pooler:
        assert_refused(start_herald, process, pooler.url, "PgBouncer: pool_mode = session")


@needs_pgbouncer
@pytest.mark.parametrize("mode", ["transaction", "statement"])
@pytest.mark.parametrize("size", [1, 2, 20])
def test_pgbouncer_is_recognised_whatever_the_size_of_its_pool(database: str, mode: str, size: int) -> None:
    with PgBouncer(database, mode=mode, size=size) as pooler:
        for _ in range(5):
            with pytest.raises(UnfitError, match="pooler in transaction mode"):
                connect(make_settings(pooler.url), "test")


@needs_pgbouncer
def test_pgbouncer_in_session_mode_is_accepted(database: str) -> None:
    with PgBouncer(database, mode="session") as pooler, connected(pooler.url) as connection:
        assert not connection.closed


@pytest.mark.parametrize("order", ["the last one used", "each in its turn"])
@pytest.mark.parametrize("size", [1, 2, 3, 8])
def test_a_pool_is_recognised_however_it_chooses(database: str, size: int, order: str) -> None:
    with (
        Pooler(database, size=size, is_round_robin=order == "each in its turn") as pooler,
        pytest.raises(UnfitError, match="pooler in transaction mode"),
    ):
        connect(make_settings(pooler.url), "test")


def test_a_pool_that_was_refused_has_been_told_nothing(database: str) -> None:
    with Pooler(database, size=1) as pooler:
        with pytest.raises(UnfitError):
            connect(make_settings(pooler.url), "test")

        with closing(connect_plainly(pooler.url)) as stranger:
            query = "SELECT count(*) FROM pg_settings WHERE source = 'session' AND name <> 'application_name'"
            assert fetch_value(stranger, query) == 0


def test_a_pooler_that_hands_on_the_servers_keys_is_recognised_at_the_start(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "herald.outbox.postgres.connections.read_facts",
        lambda opened, schema: changed(read_facts(opened, schema), is_pooled=False),
    )
    with (
        Pooler(database) as pooler,
        connected(pooler.url) as connection,
        pytest.raises(UnfitError, match="pooler in transaction mode"),
    ):
        refuse_shared(connection, make_settings(pooler.url))


def test_a_pool_in_session_mode_is_accepted(database: str) -> None:
    with Pooler(database, keeps_sessions=True) as pooler, connected(pooler.url) as connection:
        assert not connection.closed


@pytest.mark.parametrize(
    "process", ["relay", "migrate", *(pytest.param(one, marks=pytest.mark.proof) for one in ("api", "pipeline"))]
)
def test_a_database_that_cannot_hold_every_text_is_refused(
    process: str, latin_database: str, start_herald: StartHerald
) -> None:
    assert_refused(start_herald, process, latin_database, "has the encoding LATIN1")


def test_a_standby_is_not_migrated(own_server: PostgresServer, start_herald: StartHerald) -> None:
    with standby_of(own_server) as standby:
        assert_refused(start_herald, "migrate", standby.url(), "DATABASE_URL names a standby in recovery")


def test_a_standby_is_waited_for_until_it_is_promoted(own_server: PostgresServer, start_herald: StartHerald) -> None:
    with standby_of(own_server) as standby:
        started = [start_herald(process, DATABASE_URL=standby.url(), **KAFKA) for process in ("relay", "pipeline")]
        started.append(start_herald("api", "--port", str(free_port()), DATABASE_URL=standby.url(), **KAFKA))
        for process in started:
            process.wait_for("DATABASE_URL names a standby in recovery", ENDED)

        standby.promote()

        for process in started:
            process.wait_for("the tables are missing", ENDED)


def test_a_relay_at_work_takes_a_standby_for_an_outage(database: str, monkeypatch: pytest.MonkeyPatch) -> None:
    stop, led_to = threading.Event(), []

    def lead(*_: object, **__: object) -> None:
        led_to.append("a standby")
        stop.set()
        raise StandbyError(led_to[-1])

    monkeypatch.setattr("herald.outbox.relay.process.lead", lead)

    assert run(make_settings(database, **KAFKA), stop) == 0
    assert led_to == ["a standby"]


def test_triggers_that_do_not_fire_are_refused(server: PostgresServer, database: str) -> None:
    role = f"r_{uuid4().hex}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    server.execute(f"ALTER ROLE {role} SET session_replication_role = replica")

    with pytest.raises(UnfitError, match=f"ALTER ROLE {role} RESET session_replication_role"):
        connect(make_settings(database.replace("postgresql://postgres@", f"postgresql://{role}@")), "test")


def test_a_role_that_may_make_no_tables_cannot_migrate(server: PostgresServer, database: str) -> None:
    role = f"r_{uuid4().hex}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    settings = make_settings(database.replace("postgresql://postgres@", f"postgresql://{role}@"))

    with pytest.raises(UnfitError, match=f"GRANT USAGE ON SCHEMA herald TO {role}"):
        connect_anywhere(settings, "test", checks=FOR_MIGRATIONS)
    with connected(database) as owner:
        execute_and_commit(owner, f"GRANT USAGE ON SCHEMA herald TO {role}")
    with pytest.raises(UnfitError, match=f"GRANT CREATE ON SCHEMA herald TO {role}"):
        connect_anywhere(settings, "test", checks=FOR_MIGRATIONS)


def test_a_role_that_may_make_no_schema_cannot_migrate_where_there_is_none(
    server: PostgresServer, empty_database: str
) -> None:
    role = f"r_{uuid4().hex}"
    server.execute(f"CREATE ROLE {role} LOGIN")
    settings = make_settings(empty_database.replace("postgresql://postgres@", f"postgresql://{role}@"))

    with pytest.raises(UnfitError, match=f"CREATE SCHEMA herald AUTHORIZATION {role}"):
        connect_anywhere(settings, "test", checks=FOR_MIGRATIONS)


def test_a_database_that_takes_no_writes_is_not_migrated(empty_database: str) -> None:
    with closing(connect_plainly(empty_database)) as owner:
        execute_and_commit(owner, f"ALTER DATABASE {owner.info.dbname} SET default_transaction_read_only = on")

    with pytest.raises(UnfitError, match="RESET default_transaction_read_only"):
        connect_anywhere(make_settings(empty_database), "test", checks=FOR_MIGRATIONS)


def test_a_role_that_may_read_nothing_is_told_who_names_the_grants(
    server: PostgresServer, database: str, start_herald: StartHerald
) -> None:
    role = f"r_{uuid4().hex}"
    server.execute(f"CREATE ROLE {role} LOGIN")

    assert_refused(
        start_herald, "relay", database.replace("postgresql://postgres@", f"postgresql://{role}@"), "`herald doctor`"
    )


def test_an_old_server_and_strings_of_old_are_refused(database: str) -> None:
    with closing(connect_plainly(database)) as connection:
        facts = read_facts(connection, "herald")

    assert "too old" in str(version(changed(facts, version=130_011)))
    assert "standard_conforming_strings" in str(strings(changed(facts, conforming_strings="off")))
    assert version(facts) is None
    assert strings(facts) is None


def changed(facts: Facts, **others: object) -> Facts:
    return Facts(**{**{name: getattr(facts, name) for name in Facts.__slots__}, **others})


def test_what_turns_out_at_work_counts_as_an_outage() -> None:
    assert is_outage(UnfitError("another encoding"))
    assert is_outage(StandbyError("a standby"))
