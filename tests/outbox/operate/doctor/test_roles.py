"""What `herald doctor` says of the role, and that Herald works with exactly what the doctor asks for."""

from collections.abc import Iterator
from contextlib import closing
from typing import NamedTuple
from uuid import uuid4

import pytest

from herald.outbox.acceptance.expired_keys import empty_expired_keys
from herald.outbox.acceptance.idempotency import TABLES, make_request_key, remember
from herald.outbox.desk.filters import Filter
from herald.outbox.desk.jobs import make_job
from herald.outbox.moves.pauses import pause, resume
from herald.outbox.operate.audit.cursor import read_cursor
from herald.outbox.operate.doctor.roles import NEEDS, Need
from herald.outbox.postgres.driver import errors
from herald.outbox.postgres.schema import metadata
from herald.outbox.postgres.statements import fetch
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, connected, execute_and_commit, notification
from tests.outbox.operate.doctor.findings import follow, look, look_once
from tests.proof.end_to_end.system import STARTED, Herald
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer, connect_to_tables

MORE = "SELECT outbox_make_partitions(interval '1 month', clock_timestamp() + interval '3 months')"
EACH = [(need, privilege) for need in NEEDS for privilege in need.privileges]


class Role(NamedTuple):
    """A role that is no superuser and owns nothing, and the URL of the database for it."""

    name: str
    url: str


@pytest.fixture
def role(server: PostgresServer, database: str) -> Iterator[Role]:
    """With exactly the grants that are listed."""
    name = f"app_{uuid4().hex[:8]}"
    server.execute(f"CREATE ROLE {name} LOGIN")
    with connected(database) as connection:
        execute_and_commit(connection, f"GRANT USAGE ON SCHEMA herald TO {name}")
        for need in NEEDS:
            execute_and_commit(connection, f"GRANT {', '.join(need.privileges)} ON {need.kind} {need.name} TO {name}")
    yield Role(name, database.replace("postgres@", f"{name}@"))
    with connected(database) as connection:
        execute_and_commit(connection, f"DROP OWNED BY {name} CASCADE")
    server.execute(f"DROP ROLE {name}")


def test_every_table_is_listed() -> None:
    listed = {need.name for need in NEEDS if need.kind == "TABLE"}

    assert listed == {*metadata.tables, "alembic_version", "partitions", "queue_differences"}


def test_a_role_with_these_grants_lacks_nothing(role: Role) -> None:
    assert look_once(role.url, "grants").level == "ok"


def test_the_audit_needs_no_more_than_these_grants(role: Role) -> None:
    with connected(role.url) as connection:
        assert read_cursor(connection) is None


@pytest.mark.parametrize(("need", "privilege"), EACH, ids=[f"{privilege}-{need.name}" for need, privilege in EACH])
def test_a_grant_that_is_missing_is_a_problem(database: str, role: Role, need: Need, privilege: str) -> None:
    with connected(database) as connection:
        execute_and_commit(connection, f"REVOKE {privilege} ON {need.kind} {need.name} FROM {role.name}")

    found = look_once(role.url, "grants")
    follow(database, found)

    assert (found.level, found.text) == ("problem", f"{role.name} lacks {privilege} on {need.name}")
    assert look_once(role.url, "grants").level == "ok"


def test_a_role_that_may_not_use_the_schema_is_told_so(role: Role, database: str) -> None:
    with connected(database) as connection:
        execute_and_commit(connection, f"REVOKE USAGE ON SCHEMA herald FROM {role.name}")

    found = look_once(role.url, "fitness")

    assert (found.level, found.text) == (
        "problem",
        f"{role.name} may not use the schema herald; no process starts on it",
    )
    assert f"GRANT USAGE ON SCHEMA herald TO {role.name}" in str(found.advice)


def test_herald_works_with_these_grants(role: Role, broker: str, start_herald: StartHerald) -> None:
    herald = Herald(
        start_herald, {"DATABASE_URL": role.url, "KAFKA_BOOTSTRAP_SERVERS": broker, "HERALD_FETCH_WAIT": "0.01"}
    )
    herald.start_and_deliver()

    with closing(herald.client):
        posted = herald.post_notification(user="bob")
        eventually(lambda: herald.look(posted)["status"] == "sent", STARTED, what="a second one is sent")
        herald.stop("relay")

    assert "duty_failed" not in herald.processes["relay"].output()
    assert herald.processes["relay"].exit_code == 0


def test_a_rebase_works_with_these_grants(role: Role, broker: str, start_herald: StartHerald) -> None:
    servers = {"DATABASE_URL": role.url, "KAFKA_BOOTSTRAP_SERVERS": broker}
    rebase = start_herald("relay", "--rebase", "--moved", **servers)

    rebase.wait_for("rebased: 0 pending messages", STARTED)


def test_what_a_person_and_the_clock_do_works_with_these_grants(role: Role, database: str) -> None:
    with connected(role.url) as connection:
        for key in ("even", "odd"):
            remember(
                connection,
                make_request_key(key, method="POST", path="/", body=b""),
                accepted(connection, notification()),
                ttl=60,
            )
        pause(connection, "channel:email", reason="first")
        pause(connection, "channel:email", reason="second")
        resume(connection, "channel:email")
        make_job(connection, Filter(), rate=1)
        connection.commit()
    with connected(database) as connection:
        for table in TABLES:
            execute_and_commit(connection, f"UPDATE {table} SET kept_until = clock_timestamp() - interval '1 s'")

    with connected(role.url) as connection:
        connection.autocommit = True
        empty_expired_keys(connection)

        assert [fetch(connection, f"SELECT count(*) FROM {table}") for table in TABLES] == [[(0,)], [(0,)]]


def test_a_role_that_cannot_change_the_log_is_ok(role: Role) -> None:
    levels = {one.level: one.text for one in look(role.url, "role")}

    assert levels["ok"] == f"{role.name} cannot change the log"


def test_a_role_that_owns_nothing_is_told_that_its_relay_makes_no_partitions(role: Role) -> None:
    (first, _) = look(role.url, "role")

    assert (first.level, first.text) == (
        "note",
        f"{role.name} does not own the tables, postgres does: its relay cannot make or drop partitions",
    )
    with closing(connect_to_tables(role.url)) as connection, pytest.raises(errors.InsufficientPrivilege):
        execute_and_commit(connection, MORE)


def test_a_superuser_is_a_note(database: str) -> None:
    found = look_once(database, "role")

    assert (found.level, "is a superuser" in found.text) == ("note", True)


def test_an_owner_that_may_not_create_tables_is_a_problem(role: Role, database: str) -> None:
    with connected(database) as connection:
        execute_and_commit(
            connection, f"ALTER TABLE outbox OWNER TO {role.name}; ALTER TABLE messages OWNER TO {role.name}"
        )

    found, powers = look(role.url, "role")
    follow(database, found)

    assert (found.level, "may not create tables in herald" in found.text) == ("problem", True)
    assert (powers.level, "may change the log" in powers.text) == ("note", True)
    with connected(role.url) as connection:
        ((made,),) = fetch(connection, MORE)
        assert made > 0
    assert [one.level for one in look(role.url, "role")] == ["note"]
