"""Groups are found by their index, whatever else there is."""

from typing import cast

import pytest

from herald.outbox.moves.cancel import cancel_part
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.engine import make_engine
from herald.outbox.postgres.groups import find_group
from herald.outbox.postgres.queries import Chosen, list_notifications
from herald.outbox.postgres.statements import execute, fetch_value
from tests.outbox.connections import connected, execute_and_commit, make_settings
from tests.pipeline.records import new_id

GROUPED = 1_000
FILL = f"""
INSERT INTO messages (id, topic, key, data_version, event, status, version, request, attempts, requested_in,
                      accepted_at, updated_at, group_id)
SELECT (left(%(group)s, 24) || lpad(to_hex(n), 12, '0'))::uuid, 'notifications', 'user-' || n, 1, 'sale', 'pending', 1,
       1, 0, pg_current_xact_id(), now(), now(), CASE WHEN n <= {GROUPED} THEN %(group)s::uuid END
FROM generate_series(1, %(count)s) AS n
"""
SCANS = "SELECT sum(seq_scan) FROM pg_stat_xact_user_tables WHERE relname LIKE 'messages%'"
ANYBODYS = "INSERT INTO senders (login, owner, cancels) VALUES (session_user, 'shop', 'any')"


@pytest.mark.parametrize("count", [0, 100_000])
def test_a_group_is_counted_listed_and_cancelled_without_a_look_at_all_others(database: str, count: int) -> None:
    group = new_id()
    with connected(database) as connection:
        execute(connection, ANYBODYS)
        execute(connection, "SET statement_timeout = '2min'")
        execute_and_commit(connection, FILL, {"group": str(group), "count": count})
    engine = make_engine(make_settings(database), "test")

    with engine.connect() as pooled:
        session = cast("Connection", pooled.connection.driver_connection)
        found = find_group(pooled, group)
        listed, _ = list_notifications(pooled, Chosen(group=group), limit=50)
        part = cancel_part(session, group)
        fetch_value(session, "SELECT cancel(%s)", str(group))
        scans = fetch_value(session, SCANS)
    engine.dispose()

    grouped = min(count, GROUPED)
    assert (found.total if found else 0, len(listed), part.looked) == (grouped, min(50, grouped), grouped)
    assert scans == 0
