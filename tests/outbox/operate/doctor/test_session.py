"""What `herald doctor` says of what is between it and PostgreSQL."""

from contextlib import closing

from herald.outbox.postgres.connections import connect_anywhere
from herald.outbox.postgres.statements import stream
from tests.outbox.connections import make_settings
from tests.outbox.operate.doctor.findings import look_once
from tests.servers.pooler import Pooler


def test_a_direct_connection_is_ok(database: str) -> None:
    assert look_once(database, "pooler").level == "ok"
    assert look_once(database, "LISTEN").level == "ok"


def test_a_pooler_in_transaction_mode_is_a_problem(database: str) -> None:
    with Pooler(database) as pooler:
        found = look_once(pooler.url, "pooler")

    assert (found.level, found.text[:31]) == ("problem", "a pooler in transaction mode is")


def test_the_tables_are_looked_at_through_any_pooler(database: str) -> None:
    with Pooler(database) as pooler:
        assert [look_once(pooler.url, check).level for check in ("migrations", "grants", "indexes")] == ["ok"] * 3
    with Pooler(database) as pooler, closing(connect_anywhere(make_settings(pooler.url), "test", checks=())) as looking:
        assert list(stream(looking, "SELECT name FROM partitions", name="c", piece=1))


def test_a_pooler_that_takes_sessions_in_turn_is_a_problem_too(database: str) -> None:
    for size in (1, 2, 3):
        with Pooler(database, is_round_robin=True, size=size) as pooler:
            assert look_once(pooler.url, "pooler").level == "problem"


def test_a_pooler_in_session_mode_is_a_note(database: str) -> None:
    with Pooler(database, keeps_sessions=True) as pooler:
        found = look_once(pooler.url, "pooler")

    assert (found.level, found.text[:27]) == ("note", "a pooler in session mode is")


def test_notifications_that_do_not_arrive_are_a_warning(database: str) -> None:
    with Pooler(database) as pooler:
        found = look_once(pooler.url, "LISTEN")

    assert (found.level, found.text[:36]) == ("warning", "no NOTIFY arrived within 2 s: the re")
