"""Two Heralds in two schemas of one database, and a caller whose locks have the same numbers: nobody meets anybody."""

from contextlib import closing

from herald.outbox.postgres.driver import Connection, connect_plainly
from herald.outbox.postgres.locks import LEADER
from herald.outbox.postgres.notify import listen, notify
from herald.outbox.postgres.statements import execute, fetch_value
from herald.outbox.relay.session import wait_for_news
from tests.conftest import migrate
from tests.outbox.connections import connected
from tests.outbox.operate.doctor.findings import look_once
from tests.proof.end_to_end.system import STARTED, MakeHerald
from tests.servers.eventually import eventually

OTHER = {"HERALD_SCHEMA": "other"}
PREFIX = "other."


def instance_of(connection: Connection) -> str:
    return str(fetch_value(connection, "SELECT id::text FROM instance"))


def test_two_heralds_in_two_schemas_of_one_database_both_lead(database: str, make_herald: MakeHerald) -> None:
    migrate(database, **OTHER)
    first, second = make_herald(), make_herald(**OTHER, HERALD_TOPIC_PREFIX=PREFIX)
    with closing(connect_plainly(database)) as caller:
        for keys in (f"{LEADER}", f"0, {LEADER}"):
            execute(caller, f"SELECT pg_advisory_lock({keys})")

        for herald in (first, second):
            herald.start_and_deliver()
        posted = {herald: herald.post_notification(user) for herald, user in ((first, "ada"), (second, "bob"))}

        for herald, message in posted.items():
            eventually(lambda: herald.look(message)["status"] == "sent", STARTED, what="each sends its own")  # noqa: B023
            assert herald.assert_projection_equals_log() == 2
            herald.processes["relay"].wait_for('"leading"', STARTED)
    assert first.client.get(f"/messages/{posted[second]}").status_code == 404
    with connected(database) as one, connected(database, topic_prefix=PREFIX, **OTHER) as another:
        assert instance_of(one) != instance_of(another)
    for schema in ("herald", "other"):
        found = look_once(database, "leader", HERALD_SCHEMA=schema)
        assert found.text.startswith(f"led by '{schema}-relay', pid ")
        assert found.text.endswith("0 standing by")


def test_a_notification_wakes_the_relay_of_its_own_schema_alone(database: str) -> None:

    migrate(database, **OTHER)
    with connected(database) as one, connected(database, **OTHER) as another, connected(database) as writer:
        for listener in (one, another):
            listener.autocommit = True
            listen(listener)

        notify(writer)
        writer.commit()

        assert wait_for_news(one, 5.0)
        assert not wait_for_news(another, 0.5)
