"""Topics whose records are removed unread, and topics that lose their consumer for a while."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, make_admin
from herald.outbox.kafka.offsets import read_ends_told
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch
from herald.outbox.registry import TOPICS
from tests.conftest import ROOT, on_apache_kafka
from tests.outbox.connections import make_settings
from tests.proof.end_to_end.system import SETTLED, STARTED, Herald, await_all_sent
from tests.proof.end_to_end.test_outages import await_published
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment

TAKEN_OUT = "generic_topic"


@on_apache_kafka
def test_what_kafka_removed_unread_is_delivered_without_any_new_traffic(herald: Herald, connection: Connection) -> None:
    """Every message once more: most partitions have never been committed, and nothing else happens anywhere."""
    herald.start("api", "relay")
    herald.await_api()
    messages = [herald.post_notification(f"user-{number}") for number in range(24)]
    await_published(connection, messages)

    assert remove_all(herald, "notifications") == 24
    herald.start("pipeline")

    await_all_sent(herald, connection, messages)
    assert fetch(connection, "SELECT DISTINCT request FROM messages") == [(2,)]


def remove_all(herald: Herald, topic: str) -> int:
    """As the retention does, up to the end of each partition; returns how many records there were."""
    broker = herald.settings["KAFKA_BOOTSTRAP_SERVERS"]
    admin = make_admin(make_settings(herald.settings["DATABASE_URL"], KAFKA_BOOTSTRAP_SERVERS=broker))
    ends = read_ends_told(admin, admin.list_topics(timeout=ANSWER_TIMEOUT), [topic])[topic]
    places = [TopicPartition(topic, int(number), end) for number, end in ends.items()]
    for removed in admin.delete_records(places).values():
        removed.result(ANSWER_TIMEOUT)
    return sum(ends.values())


@pytest.fixture
def relay_without(herald: Herald, tmp_path: Path) -> Iterator[Child]:
    """A relay of a release that has no such topic; not started."""
    environment = herald_environment({**herald.settings, "PYTHONPATH": str(ROOT)})
    command = [sys.executable, "-m", "tests.proof.end_to_end.without_topic", TAKEN_OUT, "relay"]
    child = Child(command, log=tmp_path / "without.log", env=environment, cwd=tmp_path)
    yield child
    child.kill()


def test_the_messages_of_a_topic_that_was_taken_out_wait_and_are_delivered_once_it_is_back(
    herald: Herald, connection: Connection, relay_without: Child
) -> None:
    """Nothing is published again meanwhile, and nobody says that the topic was deleted."""
    herald.start_and_deliver()
    assert herald.stop("pipeline") == 0
    messages = [herald.post_message({"n": number}) for number in range(5)]
    await_published(connection, messages)
    eventually(lambda: topic_ids(connection).keys() >= TOPICS.keys(), STARTED)
    known = topic_ids(connection)
    assert herald.stop("relay") == 0
    execute(connection, "DELETE FROM topics WHERE name = %s", TAKEN_OUT)

    relay_without.start()
    relay_without.wait_for("leading", STARTED)
    for number in range(4):
        await_noted(connection, herald.post_notification(f"user-{number}"))
    assert fetch(connection, "SELECT DISTINCT request FROM messages") == [(1,)]
    assert topic_ids(connection) == known
    assert relay_without.stop() == 0, relay_without.tail()
    herald.start("relay", "pipeline")

    await_all_sent(herald, connection, messages)
    assert fetch(connection, "SELECT DISTINCT request FROM messages") == [(1,)]
    assert "topic_was_deleted" not in relay_without.output()
    assert "topic_was_deleted" not in herald.processes["relay"].output()


def topic_ids(connection: Connection) -> dict[str, str]:
    ((ids,),) = fetch(connection, "SELECT topic_ids FROM relay_cursor")
    return dict(ids)


def await_noted(connection: Connection, message: str) -> None:
    """A page shows it: one is noted every second, and between two of them the scheduler has swept."""
    noted = (
        "SELECT count(*) > 0 FROM messages JOIN relay_pages ON pg_visible_in_snapshot(requested_in, snapshot)"
        " WHERE id = %s AND NOT end_offsets ? %s"
    )
    eventually(lambda: fetch(connection, noted, message, TAKEN_OUT) == [(True,)], SETTLED)
