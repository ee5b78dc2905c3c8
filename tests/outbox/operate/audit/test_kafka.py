"""Corruptions of what Kafka holds, and of what the group has read, on each broker."""

import json
from collections.abc import Iterator
from uuid import UUID, uuid4

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.topics import make_topics
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.records import make_headers
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, connected, execute_and_commit, make_settings, notification
from tests.outbox.operate.audit.conftest import Ask, Run
from tests.proof.end_to_end.topic import delete_topics, put, reading
from tests.servers.eventually import eventually

STARTED = 60.0  # seconds
ANSWER = 10.0  # seconds
NOBODY = "127.0.0.1:1"  # a port without a listener
TOPIC = "notifications"
_UNPUBLISHED = """
SELECT count(*) FROM outbox, relay_cursor
WHERE topic IS NOT NULL AND NOT pg_visible_in_snapshot(transaction_id, previous)
"""


@pytest.fixture
def settings(database: str, each_broker: str) -> dict[str, str]:
    group = f"herald-{uuid4().hex[:8]}"
    return {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": each_broker, "HERALD_GROUP": group}


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with connected(database) as connection:
        connection.autocommit = True
        yield connection


@pytest.fixture
def published(settings: dict[str, str], connection: Connection, start_herald: StartHerald) -> list[str]:
    """Three notifications that a relay has published, and that nobody has read; the relay was stopped."""
    messages = accepted(connection, *(notification(f"user-{number}") for number in range(3)))
    relay = start_herald("relay", **settings)
    relay.wait_for("leading", STARTED)
    eventually(lambda: fetch(connection, _UNPUBLISHED) == [(0,)], STARTED, what="the cursor has passed them")
    eventually(lambda: fetch(connection, "SELECT 1 FROM relay_cursor WHERE topic_ids <> '{}'"), STARTED)
    assert relay.stop() == 0
    return [str(message) for message in messages]


def admin_of(settings: dict[str, str]) -> AdminClient:
    return make_admin(make_settings(settings["DATABASE_URL"], **settings))


def commit(settings: dict[str, str], *, beyond: int = 0) -> None:
    """As the group would, at the end of every partition that has records, or beyond it."""
    broker = settings["KAFKA_BOOTSTRAP_SERVERS"]
    with reading(broker, TOPIC) as topic:
        ends = {int(one.partition() or 0): int(one.offset() or 0) + 1 for one in topic.read()}
    consumer = Consumer({"bootstrap.servers": broker, "group.id": settings["HERALD_GROUP"]})
    offsets = [TopicPartition(TOPIC, number, end + beyond) for number, end in ends.items()]
    consumer.commit(offsets=offsets, asynchronous=False)
    consumer.close()


def test_what_waits_on_kafka_is_in_order(audit: Run, settings: dict[str, str], published: list[str]) -> None:
    report = audit(settings, "--grace", "0")

    assert report.found == []
    assert report.looked_at["not-on-kafka"] == f"{len(published)} pending and published"


def test_records_that_kafka_lost_are_found_and_requested_again(
    audit: Run, settings: dict[str, str], published: list[str]
) -> None:
    assert len(published) == 3
    delete_topics(settings["KAFKA_BOOTSTRAP_SERVERS"], TOPIC)
    admin = admin_of(settings)
    eventually(lambda: TOPIC not in admin.list_topics(timeout=ANSWER).topics, STARTED, what="the topic is gone")
    eventually(lambda: make_topics(admin, make_settings(settings["DATABASE_URL"])), STARTED)

    report = audit(settings, "--grace", "0", "--repair", "--yes")

    assert report.output["repaired"] == {"requested again": 3}
    assert {check for check, _, _ in report.found} <= {"topic-ids", "end-offsets"}
    assert ("topic-ids", "contradiction", [TOPIC]) in report.found


def test_a_topic_that_is_gone_is_found(audit: Run, settings: dict[str, str], published: list[str]) -> None:
    delete_topics(settings["KAFKA_BOOTSTRAP_SERVERS"], TOPIC)
    admin = admin_of(settings)
    eventually(lambda: TOPIC not in admin.list_topics(timeout=ANSWER).topics, STARTED, what="the topic is gone")

    found = audit(settings, "--grace", "0").found

    assert ("topic-ids", "contradiction", [TOPIC]) in found
    assert ("not-on-kafka", "loss", published) in found


def test_records_read_past_without_a_claim_are_found_and_requested_again(
    audit: Run, settings: dict[str, str], connection: Connection, published: list[str]
) -> None:
    commit(settings)

    assert audit(settings).found == []  # within the grace a running relay finds it
    assert audit(settings, "--grace", "0").found == [("read-past", "loss", published)]
    mended = audit(settings, "--grace", "0", "--repair", "--yes")
    assert (mended.exit_code, mended.found) == (0, [])
    assert fetch(connection, "SELECT DISTINCT request FROM messages") == [(2,)]


def test_a_commit_beyond_the_end_is_found(audit: Run, settings: dict[str, str], published: list[str]) -> None:
    assert published
    commit(settings, beyond=5)

    ((_, severity, places),) = [one for one in audit(settings).found if one[0] == "end-offsets"]

    assert severity == "contradiction"
    assert places
    assert all(place.startswith(f"{TOPIC}/") for place in places)


def test_records_of_others_that_were_read_past_are_found(
    audit: Run, settings: dict[str, str], published: list[str]
) -> None:
    assert published
    broker = settings["KAFKA_BOOTSTRAP_SERVERS"]
    put(broker, TOPIC, json.dumps({"user_id": "ada", "event": "x", "content": "x"}).encode())
    put(broker, TOPIC, b"no JSON")
    commit(settings)

    report = audit(settings)

    ((check, severity, places),) = report.found
    assert (check, severity, len(places)) == ("foreign-not-adopted", "loss", 2)


def test_a_record_of_herald_that_the_log_does_not_have_is_found(
    audit: Run, settings: dict[str, str], published: list[str]
) -> None:
    assert published
    unknown = str(UUID(int=UUID(published[0]).int + 1))
    row = (unknown, 1, "message.requested", TOPIC, "ada", "{}", "2026-01-01T00:00:00Z", "1", None, 1)
    producer = Producer({"bootstrap.servers": settings["KAFKA_BOOTSTRAP_SERVERS"]})
    producer.produce(TOPIC, b"{}", "ada", headers=make_headers("/herald")(row))
    assert producer.flush(ANSWER) == 0

    assert audit(settings).found == [("not-in-log", "loss", [f"{unknown}.1"])]


@pytest.mark.kafka
def test_records_that_kafka_removed_unread_are_found(audit: Run, database: str, kafka: str) -> None:
    settings = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": kafka, "HERALD_GROUP": f"h-{uuid4().hex[:8]}"}
    put(kafka_with_topics(settings), TOPIC, b"no JSON")
    with reading(kafka, TOPIC) as topic:
        (record,) = topic.until(1)
    place = TopicPartition(TOPIC, int(record.partition() or 0), 1)
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": settings["HERALD_GROUP"]})
    consumer.commit(offsets=[TopicPartition(TOPIC, place.partition, 0)], asynchronous=False)
    consumer.close()
    admin = admin_of(settings)
    for removed in admin.delete_records([place]).values():
        removed.result(ANSWER)

    assert audit(settings).found == [("removed-unread", "loss", [f"{TOPIC}/{place.partition}"])]


def kafka_with_topics(settings: dict[str, str]) -> str:
    make_topics(admin_of(settings), make_settings(settings["DATABASE_URL"]))
    return settings["KAFKA_BOOTSTRAP_SERVERS"]


def test_a_kafka_that_is_away_is_named(ask: Ask, database: str) -> None:
    result = ask({"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": NOBODY})

    assert result.exit_code == 2
    assert f"Kafka at {NOBODY} does not answer" in result.output


def test_a_database_that_is_away_is_named(ask: Ask, broker: str) -> None:
    result = ask({"DATABASE_URL": f"postgresql://postgres@{NOBODY}/herald", "KAFKA_BOOTSTRAP_SERVERS": broker})

    assert result.exit_code == 2
    assert "the database does not answer" in result.output
    assert "Connection refused" in result.output


def test_a_wrong_setting_is_named(ask: Ask) -> None:
    result = ask({"DATABASE_URL": "mysql://localhost/herald"})

    assert result.exit_code == 2
    assert result.output.startswith("DATABASE_URL: must be a URL")


def test_a_person_sees_each_check_with_what_to_do(
    ask: Ask, settings: dict[str, str], connection: Connection, published: list[str]
) -> None:
    execute_and_commit(connection, "UPDATE messages SET attempts = 7 WHERE id = %s", published[0])

    shown = ask(settings, "--repair")

    assert shown.exit_code == 1
    assert "ok             not-on-kafka" in shown.output
    assert "contradiction  projection" in shown.output
    assert published[0] in shown.output
    assert "1 finding; " in shown.output
    assert "to be repaired: rows and queues written from the log: 1" in shown.output
    assert "nothing was changed; --repair --yes does it" in shown.output
    assert fetch(connection, "SELECT attempts FROM messages WHERE id = %s", published[0]) == [(7,)]


def test_yes_belongs_to_repair(ask: Ask, database: str) -> None:
    result = ask({"DATABASE_URL": database}, "--yes")

    assert result.exit_code == 2
    assert "--yes belongs to --repair" in result.output
