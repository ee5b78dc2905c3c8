"""The relay as a process, on a real broker."""

from uuid import UUID

import pytest
from confluent_kafka import Consumer, Message, TopicPartition
from confluent_kafka.admin import NewTopic

from herald.outbox.kafka.clients import make_admin
from herald.outbox.moves.accept import Acceptance, make_acceptance
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.instance import read_instance
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.rebase import rebase
from tests.conftest import StartHerald
from tests.outbox.connections import (
    accepted,
    assert_projection_equals_log,
    execute_and_commit,
    make_settings,
    notification,
    status_of,
)
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.eventually import eventually

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'herald-relay'"
LOOKED = "SELECT state_change FROM pg_stat_activity WHERE application_name = 'herald-relay'"
TOO_LARGE = 1_200_000  # characters; a producer takes 1,000,000 bytes


class Topic:
    """Everything on a topic, from its beginning."""

    def __init__(self, bootstrap_servers: str, name: str = "notifications") -> None:
        self.consumer = Consumer(
            {
                "bootstrap.servers": bootstrap_servers,
                "group.id": "test",
                "enable.auto.commit": False,
                "fetch.wait.max.ms": 10,
                "log_level": 0,
            }
        )
        self.name = name
        self.records: list[Message] = []

    def read(self) -> list[Message]:
        if not self.consumer.assignment():
            partitions = self.consumer.list_topics(self.name, timeout=5).topics[self.name].partitions
            self.consumer.assign([TopicPartition(self.name, number, 0) for number in partitions])
        while (record := self.consumer.poll(0.3)) is not None and record.error() is None:
            self.records.append(record)
        return self.records

    def subjects(self) -> list[str]:
        return [headers(record)["ce_subject"] for record in self.read()]


def headers(record: Message) -> dict[str, str]:
    found = record.headers()
    assert isinstance(found, list)
    return {name: value.decode() for name, value in found if isinstance(value, bytes)}


@pytest.fixture
def settings(database: str, each_broker: str) -> dict[str, str]:
    return {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": each_broker, "HERALD_SWEEP_SECONDS": "1"}


def oversized() -> Acceptance:
    return make_acceptance("generic_topic", None, b'"' + b"x" * TOO_LARGE + b'"')


def ids(messages: list[UUID]) -> list[str]:
    return sorted(str(message) for message in messages)


def test_what_is_committed_is_published_as_a_cloudevent(
    settings: dict[str, str], connection: Connection, start_herald: StartHerald
) -> None:
    traced = make_acceptance("notifications", "ada", b'{"a": 1}', traceparent="00-" + "a" * 32 + "-" + "b" * 16 + "-01")
    accepted(connection, traced)
    start_herald("relay", **settings)
    topic = Topic(settings["KAFKA_BOOTSTRAP_SERVERS"])

    (record,) = eventually(topic.read, 20)

    assert (record.key(), record.value()) == (b"ada", b'{"a": 1}')
    found = headers(record)
    assert found.pop("ce_time").endswith("Z")
    assert found.pop("ce_heraldinstance") == read_instance(connection).id
    assert found == {
        "ce_specversion": "1.0",
        "ce_id": f"{traced.id}.1",
        "ce_source": "/herald",
        "ce_type": "message.requested",
        "ce_subject": str(traced.id),
        "ce_request": "1",
        "ce_partitionkey": "ada",
        "content-type": "application/json",
        "ce_traceparent": str(traced.traceparent),
        "traceparent": str(traced.traceparent),
    }


def test_a_record_too_large_for_kafka_ends_dead_and_holds_nobody_up(
    settings: dict[str, str], connection: Connection, start_herald: StartHerald
) -> None:
    before = accepted(connection, notification())
    (large,) = accepted(connection, oversized())
    after = accepted(connection, notification())
    start_herald("relay", **settings)

    eventually(lambda: status_of(connection, large) == "dead", 20)

    ((reason,),) = fetch(connection, "SELECT reason FROM messages WHERE id = %s", str(large))
    assert "too large" in reason
    topic = Topic(settings["KAFKA_BOOTSTRAP_SERVERS"])
    eventually(lambda: sorted(topic.subjects()) == ids(before + after))
    assert_projection_equals_log(connection)


@pytest.mark.kafka
def test_of_a_batch_that_kafka_refuses_only_the_guilty_record_ends(
    kafka: str, database: str, connection: Connection, start_herald: StartHerald
) -> None:
    admin = make_admin(make_settings(database, KAFKA_BOOTSTRAP_SERVERS=kafka))
    limited = NewTopic("notifications", 1, 1, config={"max.message.bytes": "5000"})
    admin.create_topics([limited])["notifications"].result(10)
    before = accepted(connection, *(notification(content="x" * 900) for _ in range(20)))
    (large,) = accepted(connection, notification(content="".join(str(number) for number in range(5000))))
    after = accepted(connection, *(notification() for _ in range(20)))

    relay = start_herald("relay", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=kafka)

    relay.wait_for("batch_refused", 20)
    eventually(lambda: status_of(connection, large) == "dead", 20)
    topic = Topic(kafka)
    eventually(lambda: set(topic.subjects()) == set(ids(before + after)), 20)
    assert fetch(connection, "SELECT count(*) FROM messages WHERE status = 'dead'") == [(1,)]
    assert_projection_equals_log(connection)


def test_a_standby_takes_over_from_a_killed_leader(
    settings: dict[str, str], connection: Connection, start_herald: StartHerald
) -> None:
    leader = start_herald("relay", **settings)
    leader.wait_for("leading", 20)
    standby = start_herald("relay", **settings)
    standby.wait_for("standing_by", 20)

    leader.kill()
    messages = accepted(connection, notification())

    standby.wait_for("leading", 10)
    topic = Topic(settings["KAFKA_BOOTSTRAP_SERVERS"])
    assert eventually(topic.subjects) == ids(messages)


def test_a_frozen_leader_loses_the_lock_to_a_standby(
    database: str, broker: str, connection: Connection, start_herald: StartHerald
) -> None:
    settings = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": broker}
    leader = start_herald("relay", **settings)
    leader.wait_for("leading", 20)
    standby = start_herald("relay", **settings)
    standby.wait_for("standing_by", 20)

    leader.pause()
    standby.wait_for("leading", 15)
    messages = accepted(connection, notification())
    leader.resume()

    leader.wait_for("term_ended", 10)
    topic = Topic(broker)
    assert eventually(topic.subjects) == ids(messages)


def test_a_leader_that_lost_its_session_begins_again_at_the_stored_cursor(
    settings: dict[str, str], connection: Connection, start_herald: StartHerald
) -> None:
    relay = start_herald("relay", **settings)
    relay.wait_for("leading", 20)
    first = accepted(connection, notification())
    topic = Topic(settings["KAFKA_BOOTSTRAP_SERVERS"])
    eventually(topic.subjects)

    execute_and_commit(
        connection, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'herald-relay'"
    )
    second = accepted(connection, notification())

    assert eventually(lambda: set(topic.subjects()) == set(ids(first + second)), 20)


def test_a_deleted_topic_is_made_again_and_what_it_held_is_requested_again(
    settings: dict[str, str], connection: Connection, start_herald: StartHerald
) -> None:
    relay = start_herald("relay", **settings)
    messages = accepted(connection, notification(), notification())
    topic = Topic(settings["KAFKA_BOOTSTRAP_SERVERS"])
    relay.wait_for("leading", 20)
    eventually(lambda: len(topic.subjects()) == 2, 10)
    topic.consumer.close()  # librdkafka 2.12 crashes on what the embedded broker says of a topic that is gone
    eventually(lambda: fetch(connection, "SELECT 1 FROM relay_pages WHERE epoch > 1"), 10)

    admin = make_admin(make_settings(**settings_of(settings)))  # kept, or its futures end with it
    admin.delete_topics(["notifications"])["notifications"].result(10)

    relay.wait_for("topic_was_deleted", 15)
    again = Topic(settings["KAFKA_BOOTSTRAP_SERVERS"])
    # as a set: what the old producer still sent, the new one repeats
    eventually(lambda: set(again.subjects()) == set(ids(messages)), 20)
    assert_projection_equals_log(connection)


def settings_of(environment: dict[str, str]) -> dict[str, str]:
    return {"url": environment["DATABASE_URL"], "KAFKA_BOOTSTRAP_SERVERS": environment["KAFKA_BOOTSTRAP_SERVERS"]}


def test_a_cursor_of_another_kafka_ends_the_relay_until_it_is_rebased(
    settings: dict[str, str], connection: Connection, start_herald: StartHerald
) -> None:
    relay = start_herald("relay", **settings)
    relay.wait_for("leading", 20)
    relay.stop()
    execute_and_commit(connection, "UPDATE relay_cursor SET cluster_id = 'elsewhere'")
    messages = accepted(connection, notification())

    refused = start_herald("relay", **settings)
    refused.wait_for("herald relay --rebase --moved", 20)
    assert eventually(lambda: refused.exit_code) == 1
    assert rebase(make_settings(**settings_of(settings))) == 1
    start_herald("relay", **settings)

    topic = Topic(settings["KAFKA_BOOTSTRAP_SERVERS"])
    assert eventually(topic.subjects, 20) == ids(messages)
    assert_projection_equals_log(connection)


@pytest.mark.kafka
def test_a_relay_killed_while_kafka_is_away_publishes_again_what_kafka_never_took(
    own_kafka: ApacheKafka, database: str, connection: Connection, start_herald: StartHerald
) -> None:
    settings = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": own_kafka.bootstrap_servers}
    relay = start_herald("relay", **settings)
    before = accepted(connection, notification())
    topic = Topic(own_kafka.bootstrap_servers)
    eventually(lambda: topic.subjects() == ids(before), 60)
    own_kafka.kill()

    after = accepted(connection, notification())
    await_looks(connection, 20)
    relay.kill()
    own_kafka.start()
    relay.start()

    eventually(lambda: set(topic.subjects()) == {*ids(before), *ids(after)}, 60)


def await_looks(connection: Connection, times: int) -> None:
    """The relay looked at the log so often: it has read what was there, and would have saved its cursor."""
    seen: set[object] = set()

    def has_looked() -> bool:
        seen.update(fetch(connection, LOOKED))
        connection.rollback()
        return len(seen) > times

    eventually(has_looked, 60, what="the relay has looked")
