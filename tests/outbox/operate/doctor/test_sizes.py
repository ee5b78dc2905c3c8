"""What `herald doctor` says of the size of tables."""

from contextlib import closing

from herald.outbox.postgres.driver import connect_plainly
from tests.outbox.connections import connected, execute_and_commit
from tests.outbox.operate.doctor.findings import follow, look, look_once
from tests.servers.eventually import eventually
from tests.servers.postgres import PostgresServer


def test_each_partition_and_table_is_listed(safe: str) -> None:
    names = [one.text.split(":")[0] for one in look(safe, "sizes")]

    assert len([name for name in names if name.startswith("messages_y")]) in {2, 3}
    assert len([name for name in names if name.startswith("outbox_y")]) in {2, 3}
    assert {"relay_cursor", "pauses", "breakers", "requeues"} <= set(names)


def test_dead_rows_are_a_warning_until_they_are_cleaned(safe: str) -> None:
    with connected(safe) as connection:
        execute_and_commit(connection, "ALTER TABLE pauses SET (autovacuum_enabled = off)")
        execute_and_commit(
            connection, "INSERT INTO pauses (scope) SELECT 'topic:' || n FROM generate_series(1, 20000) AS n"
        )
        execute_and_commit(connection, "DELETE FROM pauses")

    found = eventually(lambda: [one for one in look(safe, "dead rows") if one.level == "warning"], 30.0)[0]
    follow(safe, found)

    assert found.text == "20,000 rows of pauses are dead (100%)"
    eventually(lambda: look_once(safe, "dead rows").level == "ok", 30.0)


def test_a_server_that_does_not_clean_is_a_problem(safe: str, safe_server: PostgresServer) -> None:
    safe_server.execute("ALTER SYSTEM SET autovacuum = off")
    safe_server.execute("SELECT pg_reload_conf()")

    found = eventually(lambda: [one for one in look(safe, "autovacuum") if one.level == "problem"], 30.0)[0]
    with closing(connect_plainly(safe)):
        follow(safe, found)

    eventually(lambda: look_once(safe, "autovacuum").level == "ok", 30.0)
