"""Topics whose records are removed unread, and topics that lose their consumer for a while."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, make_admin
from herald.outbox.kafka.offsets import read_ends_told, read_first_told
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import TOPICS
from tests.conftest import ROOT, StartHerald
from tests.outbox.connections import make_settings
from tests.proof.end_to_end.conftest import QUICK
from tests.proof.end_to_end.system import SETTLED, STARTED, Herald, await_all_sent
from tests.proof.end_to_end.test_outages import await_published
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment

TAKEN_OUT = "generic_topic"
SWEEP = "20"  # seconds: longer than it takes to remove the records, so that none is requested into a topic that shrinks


@pytest.mark.kafka
def test_what_kafka_removed_unread_is_delivered_without_any_new_traffic(
    database: str, connection: Connection, own_kafka: ApacheKafka, start_herald: StartHerald
) -> None:
    """Every message once more: most partitions have never been committed, and nothing else happens anywhere."""
    own_kafka.stop()
    own_kafka.configure(log_retention_check_interval_ms="200", log_initial_task_delay_ms="0")
    own_kafka.start()
    servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers}
    herald = Herald(start_herald, {**QUICK, **servers, "HERALD_SWEEP_SECONDS": SWEEP})
    herald.start("api", "relay")
    herald.await_api()
    messages = [herald.post_notification(f"user-{number}") for number in range(24)]
    await_published(connection, messages)

    set_topic(own_kafka.bootstrap_servers, "notifications", "retention.ms", "1000")
    eventually(lambda: is_removed(own_kafka.bootstrap_servers, 24), SETTLED, what="all are removed")
    set_topic(own_kafka.bootstrap_servers, "notifications", "retention.ms", "600000")
    herald.start("pipeline")

    await_all_sent(herald, connection, messages)
    assert fetch(connection, "SELECT DISTINCT request FROM messages") == [(2,)]
    herald.client.close()


def set_topic(kafka: str, topic: str, name: str, value: str) -> None:
    admin = make_admin(make_settings("postgresql://nowhere/herald", KAFKA_BOOTSTRAP_SERVERS=kafka))
    entry = ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic, incremental_configs=[entry])
    for changed in admin.incremental_alter_configs([resource]).values():
        changed.result(ANSWER_TIMEOUT)


def is_removed(kafka: str, count: int) -> bool:
    """So many records were there, and none is any more."""
    admin = make_admin(make_settings("postgresql://nowhere/herald", KAFKA_BOOTSTRAP_SERVERS=kafka))
    metadata = admin.list_topics(timeout=ANSWER_TIMEOUT)
    first, ends = (read(admin, metadata, ["notifications"]) for read in (read_first_told, read_ends_told))
    return first == ends and sum(ends["notifications"].values()) == count


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
