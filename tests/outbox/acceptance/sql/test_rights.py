"""A sender may send, and nothing else."""

from contextlib import closing

import pytest
from msgspec import Raw

from herald.outbox.moves.decide import Edit, discard, requeue
from herald.outbox.postgres.driver import Connection, connect_plainly, errors
from herald.outbox.postgres.statements import execute, fetch, fetch_column, fetch_value
from tests.outbox.acceptance.sql.callers import Caller, send
from tests.outbox.connections import accepted, change, connected, notification

PUBLIC = {"send", "notify", "send_many", "cancel"}
RELATIONS = """
SELECT c.relname, p.privilege
FROM pg_class AS c, unnest('{SELECT,INSERT,UPDATE,DELETE,TRUNCATE,TRIGGER}'::text[]) AS p(privilege)
WHERE c.relnamespace = 'herald'::regnamespace AND c.relkind IN ('r', 'p', 'v')
    AND has_table_privilege(c.oid, p.privilege)
UNION ALL
SELECT c.relname, p.privilege FROM pg_class AS c, unnest('{SELECT,USAGE,UPDATE}'::text[]) AS p(privilege)
WHERE c.relnamespace = 'herald'::regnamespace AND c.relkind = 'S' AND has_sequence_privilege(c.oid, p.privilege)
"""
FUNCTIONS = """
SELECT p.oid::regprocedure::text, proname FROM pg_proc AS p
WHERE pronamespace = 'herald'::regnamespace AND has_function_privilege(p.oid, 'EXECUTE')
"""
EXECUTED_BY_ALL = """
SELECT p.oid::regprocedure::text FROM pg_proc AS p, aclexplode(coalesce(proacl, acldefault('f', proowner))) AS a
WHERE pronamespace = 'herald'::regnamespace AND a.grantee = 0
"""


def test_a_sender_may_call_four_functions_and_nothing_else(connection: Connection) -> None:
    assert fetch(connection, RELATIONS) == []
    found = fetch(connection, FUNCTIONS)
    assert sorted(name for _, name in found) == sorted(PUBLIC)
    assert fetch_value(connection, "SELECT has_schema_privilege('herald', 'CREATE')") is False


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM herald.outbox",
        "SELECT * FROM herald.messages",
        "INSERT INTO herald.senders VALUES (session_user, 'boss', NULL, 'any')",
        "SELECT nextval('herald.outbox_position')",
        "SELECT herald.accept('[]', NULL)",
        "SELECT herald.cancel_message(gen_random_uuid(), NULL, NULL, NULL)",
        "SELECT herald.cancel_group(gen_random_uuid(), NULL, NULL, NULL, NULL)",
        "CREATE TABLE herald.mine (n integer)",
        "SET ROLE herald_owner",
    ],
)
def test_everything_else_is_refused(connection: Connection, statement: str) -> None:
    with pytest.raises(errors.InsufficientPrivilege):
        execute(connection, statement)


def test_nothing_is_executable_by_everybody(herald: Connection) -> None:
    assert fetch_column(herald, EXECUTED_BY_ALL) == []


def test_who_is_no_member_may_not_send(caller: Caller, herald: Connection) -> None:
    execute(herald, f"REVOKE herald_sender FROM {caller.name}")

    with caller.connected() as connection, pytest.raises(errors.InsufficientPrivilege):
        send(connection)


def test_an_object_of_the_callers_does_not_stand_in_for_one_of_heralds(
    connection: Connection, herald: Connection
) -> None:
    execute(connection, "CREATE TEMPORARY TABLE outbox (n integer); CREATE TEMPORARY TABLE limits (n integer)")
    execute(connection, "CREATE FUNCTION pg_temp.accept(json, text) RETURNS void LANGUAGE sql AS ''")
    execute(connection, "SET search_path = pg_temp, pg_catalog")

    send(connection)
    connection.commit()

    assert fetch_value(herald, "SELECT count(*) FROM messages") == 1


def test_the_functions_belong_to_a_role_that_cannot_log_in(herald: Connection) -> None:
    query = """SELECT DISTINCT r.rolname, r.rolcanlogin, prosecdef
        FROM pg_proc AS p JOIN pg_roles AS r ON r.oid = proowner
        WHERE pronamespace = 'herald'::regnamespace AND proname = ANY (%s)"""

    assert fetch(herald, query, list(PUBLIC)) == [("herald_owner", False, True)]


def test_the_role_of_the_api_changes_the_log_by_functions_only(database: str) -> None:
    with closing(connect_plainly(database)) as connection:
        execute(connection, "SET ROLE herald_api")
        for privilege in ("INSERT", "UPDATE", "DELETE", "TRUNCATE"):
            for table in ("outbox", "messages", "unfinished", "waiting", "unsent", "leases"):
                assert not fetch_value(
                    connection, "SELECT has_table_privilege(%s, %s)", f"herald.{table}", privilege
                ), (table, privilege)


def test_the_role_of_the_api_decides_about_dead_letters(database: str) -> None:
    with connected(database) as connection:
        dead = accepted(connection, notification(), notification(), notification())
        change(connection, "UPDATE messages SET status = 'dead', version = 2 WHERE true")
        execute(connection, "SET ROLE herald_api")
        edit = Edit(Raw(b'{"user_id":"ada","event":"e","content":"new"}'), "ada")

        assert requeue(connection, dead[:1]) == dead[:1]
        assert requeue(connection, dead[1:2], edit=edit) == dead[1:2]
        assert discard(connection, dead, reason="over") == dead[2:]
