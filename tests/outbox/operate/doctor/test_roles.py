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
from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.schema import metadata
from herald.outbox.postgres.statements import fetch, fetch_column, fetch_value
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, connected, execute_and_commit, notification
from tests.outbox.operate.doctor.findings import follow, look, look_once
from tests.proof.end_to_end.system import STARTED, Herald
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer

VIEWS = ("partitions", "queue_differences", "notifications", "wanted_grants", "role_statements", "allowance")
MORE = "SELECT outbox_make_partitions(interval '1 month', clock_timestamp() + interval '3 months')"
ALL = """
SELECT DISTINCT kind, name, privilege FROM wanted_grants WHERE kind <> 'SCHEMA' AND role ~ '_(api|relay|pipeline)$'
"""


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
        for kind, object_name, privilege in fetch(connection, ALL):
            execute_and_commit(connection, f"GRANT {privilege} ON {kind} {object_name} TO {name}")
    yield Role(name, database.replace("postgres@", f"{name}@"))
    with connected(database) as connection:
        execute_and_commit(connection, f"DROP OWNED BY {name} CASCADE")
    server.execute(f"DROP ROLE {name}")


def test_every_table_is_listed(database: str) -> None:
    with connected(database) as connection:
        listed = set(fetch_column(connection, "SELECT DISTINCT name FROM wanted_grants WHERE kind = 'TABLE'"))

    assert listed == {*metadata.tables, *VIEWS, "alembic_version"}


def test_a_role_with_these_grants_lacks_nothing(role: Role) -> None:
    assert look_once(role.url, "grants").level == "ok"


def test_the_audit_needs_no_more_than_these_grants(role: Role) -> None:
    with connected(role.url) as connection:
        assert read_cursor(connection) is None


def test_each_grant_that_is_missing_is_a_problem(database: str, role: Role) -> None:
    with connected(database) as connection:
        wanted = [row for row in fetch(connection, ALL) if row[1] != "wanted_grants"]
        for kind, name, privilege in wanted:
            execute_and_commit(connection, f"REVOKE {privilege} ON {kind} {name} FROM {role.name}")

    found = look(role.url, "grants")
    for one in found:
        follow(database, one)

    assert {one.level for one in found} == {"problem"}
    said = {(name, privilege) for one in found for name, privilege in _said(one.text, role.name)}
    assert said == {(name, privilege) for _, name, privilege in wanted}
    assert look_once(role.url, "grants").level == "ok"


def _said(text: str, role: str) -> list[tuple[str, str]]:
    """What it lacks, of "r lacks SELECT, UPDATE on messages"."""
    privileges, _, name = text.removeprefix(f"{role} lacks ").partition(" on ")
    return [(name, privilege) for privilege in privileges.split(", ")]


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


def test_a_role_that_owns_nothing_makes_partitions(role: Role) -> None:
    with connected(role.url) as connection:
        ((made,),) = fetch(connection, MORE)

    assert made > 0


def test_a_superuser_is_a_note(database: str) -> None:
    found = look_once(database, "role")

    assert (found.level, "is a superuser" in found.text) == ("note", True)


def test_an_owner_that_may_not_create_tables_is_a_problem(role: Role, database: str) -> None:
    with connected(database) as connection:
        owned = (
            "ALTER TABLE outbox OWNER TO {0}; ALTER TABLE messages OWNER TO {0}; ALTER VIEW partitions OWNER TO {0};"
        )
        make = "ALTER FUNCTION outbox_make_partitions(interval, timestamptz) OWNER TO {0}"
        execute_and_commit(connection, (owned + make).format(role.name))

    found, _ = look(role.url, "role")
    follow(database, found)

    assert (found.level, "may not: create tables in herald" in found.text) == ("problem", True)
    assert [one.level for one in look(role.url, "role")] == ["note"]


def test_each_process_works_with_its_own_role(
    server: PostgresServer, database: str, broker: str, start_herald: StartHerald
) -> None:
    names = {part: f"{part}_{uuid4().hex[:8]}" for part in ("api", "relay", "pipeline")}
    for part, name in names.items():
        server.execute(f"CREATE ROLE {name} LOGIN IN ROLE herald_{part}")
    herald = Herald(start_herald, {"KAFKA_BOOTSTRAP_SERVERS": broker, "HERALD_FETCH_WAIT": "0.01"})
    for part, name in names.items():
        url = database.replace("postgres@", f"{name}@")
        assert look_once(url, "grants").level == "ok"
        herald.settings["DATABASE_URL"] = url
        herald.start(part)
    with closing(herald.client):
        herald.await_api()
        posted = herald.post_notification(user="bob")
        with closing(connect_plainly(database)) as caller:
            sent = str(fetch_value(caller, "SELECT herald.notify('{ada}', 'placed', 'Order 7 is placed.')"))
            caller.commit()
        eventually(
            lambda: {herald.look(one)["status"] for one in (posted, sent)} == {"sent"}, STARTED, what="both are sent"
        )
        later = herald.post_message({}, key="later")
        assert herald.client.get("/notifications").status_code == 200
        assert herald.client.get("/dead-letters").status_code == 200
        assert herald.client.get("/pauses").status_code == 200
        assert herald.client.post(f"/messages/{later}/cancel").status_code < 500
        herald.stop("relay")

    assert "duty_failed" not in herald.processes["relay"].output()
    assert herald.processes["relay"].exit_code == 0


def test_herald_s_roles_have_what_they_need_and_nothing_else(database: str) -> None:
    assert look_once(database, "roles").level == "ok"


@pytest.mark.parametrize(
    ("change", "level", "text"),
    [
        (
            "GRANT SELECT ON outbox TO herald_sender",
            "warning",
            "herald_sender has more than it needs: SELECT on outbox",
        ),
        ("GRANT EXECUTE ON FUNCTION accept(json, text) TO PUBLIC", "warning", "PUBLIC has more than it needs"),
        (
            "REVOKE EXECUTE ON FUNCTION cancel(uuid) FROM herald_sender",
            "problem",
            "herald_sender lacks EXECUTE on cancel",
        ),
        ("REVOKE USAGE ON SCHEMA herald FROM herald_api", "problem", "herald_api lacks USAGE on herald"),
        ("ALTER FUNCTION cancel(uuid) OWNER TO postgres", "note", "1 functions that write for others"),
        (
            "GRANT herald_owner TO herald_sender",
            "warning",
            "herald_sender has more than it needs: is a member of herald_o",
        ),
        (
            "GRANT pg_read_all_data TO herald_api",
            "warning",
            "herald_api has more than it needs: is a member of pg_read",
        ),
        ("ALTER ROLE herald_sender CREATEROLE", "warning", "herald_sender has more than it needs: is CREATEROLE"),
        (
            "ALTER VIEW due_in_waiting OWNER TO herald_sender",
            "warning",
            "herald_sender has more than it needs: owns due_in",
        ),
        (
            "GRANT UPDATE (owner) ON senders TO herald_sender",
            "warning",
            "herald_sender has more than it needs: UPDATE of owner on senders",
        ),
        (
            "GRANT SELECT ON messages TO herald_api WITH GRANT OPTION",
            "warning",
            "herald_api has more than it needs: may grant SELECT on messages",
        ),
    ],
)
def test_what_a_role_lacks_or_has_too_much_is_found(database: str, change: str, level: str, text: str) -> None:
    with connected(database) as connection:
        execute_and_commit(connection, change)

    found = look_once(database, "roles")

    assert (found.level, found.text[: len(text)]) == (level, text)
    if level != "note":
        follow(database, found)
        assert look_once(database, "roles").level == "ok"


def test_who_acts_as_the_owner_of_the_functions_is_found(server: PostgresServer, database: str) -> None:
    server.execute("CREATE ROLE tom LOGIN IN ROLE herald_owner")

    found = look_once(database, "roles")
    follow(database, found)
    server.execute("DROP ROLE tom")

    assert (found.level, found.text) == ("warning", "tom has more than it needs: acts as herald_owner")
    assert look_once(database, "roles").level == "ok"
