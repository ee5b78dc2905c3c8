"""What `herald doctor` says of Kafka."""

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.offsets import read_end_offsets
from herald.outbox.kafka.topics import make_topics, names
from herald.outbox.postgres.driver import Connection
from herald.outbox.relay.cursor import load
from herald.outbox.settings import Settings
from tests.conftest import require_java
from tests.outbox.connections import execute_and_commit, make_settings
from tests.outbox.operate.doctor.findings import look_at_kafka
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.eventually import eventually

PARTITIONS = 4
DAY = 86_400_000  # milliseconds
UNTOLD = ("cleanup", "record size", "offsets", "session timeout", "automatic topics")  # by the embedded broker


def settings_of(kafka: str) -> Settings:
    return make_settings("postgresql://herald@localhost/herald", KAFKA_BOOTSTRAP_SERVERS=kafka)


def make(kafka: str, copies: int = 1, **config: str) -> None:
    """Herald's topics, with four partitions; settings are named with _ for each dot."""
    admin = AdminClient({"bootstrap.servers": kafka})
    given = {name.replace("_", "."): value for name, value in config.items()}
    for made in admin.create_topics([NewTopic(name, PARTITIONS, copies, config=given) for name in names()]).values():
        made.exception(30)  # after a timeout the client asks again, and is told that they exist
    eventually(lambda: _have_leaders(admin), 60.0, what="every partition has a leader")


def _have_leaders(admin: AdminClient) -> bool:
    try:
        return len(read_end_offsets(admin, dict.fromkeys(names(), range(PARTITIONS)))) == len(names())
    except KafkaException:
        return False


def troubles(kafka: str, check: str, **settings: Any) -> list[tuple[str, str, str]]:
    found = [one for one in look_at_kafka(kafka, check, **settings) if one.level != "ok"]
    return [(one.level, one.text, one.advice or "") for one in found]


def test_topics_that_are_missing_are_a_warning(each_broker: str) -> None:
    found = troubles(each_broker, "topics")

    assert [(level, text) for level, text, _ in found] == [("warning", f"{name} is missing") for name in names()]


def test_topics_that_cannot_be_made_are_a_problem(each_broker: str) -> None:
    (first, *_) = troubles(each_broker, "topics", replication_factor=3)

    assert first == (
        "problem",
        "notifications is missing, and cannot be made with 3 copies on 1 broker",
        "Start more brokers, or set HERALD_REPLICATION_FACTOR=1",
    )


def test_the_topics_that_the_relay_makes_are_ok(each_broker: str) -> None:
    make_topics(make_admin(settings_of(each_broker)), settings_of(each_broker))

    found = eventually(lambda: look_at_kafka(each_broker, "topics"))

    assert [one.text for one in found if one.level == "ok"] == [f"{name}: 4 partitions" for name in names()]


def test_fewer_partitions_than_the_settings_say_are_a_warning(each_broker: str) -> None:
    make(each_broker)

    (first, *_) = troubles(each_broker, "topics", partitions=8)

    assert first[:2] == (
        "warning",
        "notifications: 4 partitions, HERALD_PARTITIONS is 8: at most 4 pipelines work on it",
    )
    assert first[2] == f"kafka-topics.sh --bootstrap-server {each_broker} --alter --topic notifications --partitions 8"


def test_a_topic_made_anew_is_a_warning(database: str, connection: Connection, broker: str) -> None:
    make(broker)
    load(connection)
    execute_and_commit(connection, 'UPDATE relay_cursor SET topic_ids = \'{"notifications": "another"}\'')

    (found,) = troubles(broker, "topics", database=database)

    assert found[:2] == (
        "warning",
        "notifications was deleted and made anew: what was pending on it is not requested again yet",
    )


def test_a_cursor_of_another_kafka_is_a_problem(database: str, connection: Connection, broker: str) -> None:
    load(connection)
    assert look_at_kafka(broker, "cursor's Kafka", database=database)[0].level == "note"
    execute_and_commit(connection, "UPDATE relay_cursor SET cluster_id = 'herald-embedded'")
    assert look_at_kafka(broker, "cursor's Kafka", database=database)[0].level == "ok"
    execute_and_commit(connection, "UPDATE relay_cursor SET cluster_id = 'elsewhere'")

    (found,) = look_at_kafka(broker, "cursor's Kafka", database=database)

    assert (found.level, found.text[:50]) == ("problem", "the cursor belongs to the Kafka cluster elsewhere,")


@pytest.mark.parametrize("check", UNTOLD)
def test_what_the_embedded_broker_does_not_tell_is_a_note(broker: str, check: str) -> None:
    make(broker)

    (found,) = look_at_kafka(broker, check)

    assert (found.level, found.text[:25]) == ("note", "this broker does not tell")


@pytest.mark.kafka
def test_topics_that_take_the_date_of_a_relays_machine_are_a_note(kafka: str) -> None:
    make(kafka)

    found = look_at_kafka(kafka, "dates")

    assert [one.level for one in found] == ["note"] * len(names())
    assert found[0].text == (
        "notifications takes the date of the machine that writes:"
        " Kafka refuses a relay whose clock is more than 60 min ahead"
    )
    assert "--add-config message.timestamp.type=LogAppendTime" in (found[0].advice or "")


@pytest.mark.kafka
def test_the_topics_that_the_relay_makes_take_any_date(kafka: str) -> None:
    make_topics(make_admin(settings_of(kafka)), settings_of(kafka))

    expected = ["ok"] * len(names())
    eventually(lambda: [one.level for one in look_at_kafka(kafka, "dates")] == expected, what="all are there")


@pytest.mark.kafka
@pytest.mark.parametrize(
    "check", ["cleanup", "record size", "offsets", "session timeout", "automatic topics", "retention"]
)
def test_a_kafka_as_it_should_be_is_ok(kafka: str, check: str) -> None:
    make(kafka)

    assert {one.level for one in look_at_kafka(kafka, check)} == {"ok"}


@pytest.mark.kafka
@pytest.mark.parametrize(
    ("check", "config", "level", "said"),
    [
        ("cleanup", {"cleanup_policy": "compact"}, "problem", "notifications is compacted"),
        ("cleanup", {"retention_bytes": "1048576"}, "note", "notifications keeps 1.0 MB per partition"),
        ("record size", {"max_message_bytes": "50000"}, "warning", "notifications takes records of 50,000 bytes"),
        (
            "retention",
            {"retention_ms": "3600000"},
            "warning",
            "notifications: 0 records unread, kept for 60 min",
        ),
        ("copies", {"min_insync_replicas": "2"}, "problem", "notifications has 1 copies in step and min.insync"),
    ],
)
def test_a_topic_that_is_set_wrong_is_found(
    kafka: str, check: str, config: dict[str, str], level: str, said: str
) -> None:
    make(kafka, 1, **config)

    (first, *_) = troubles(kafka, check)

    assert (first[0], first[1][: len(said)]) == (level, said)
    assert "kafka-configs.sh --bootstrap-server" in first[2]


def test_one_copy_on_one_broker_is_a_note(each_broker: str) -> None:
    make(each_broker)

    (found,) = look_at_kafka(each_broker, "copies")

    assert (found.level, found.text[:20]) == ("note", "one broker, one copy")


@pytest.mark.kafka
def test_copies_that_need_every_broker_are_a_warning_and_a_problem_without_it(
    own_kafka: ApacheKafka, tmp_path: Path
) -> None:
    kafka = own_kafka.bootstrap_servers
    with own_kafka.another(tmp_path / "second") as second:
        make(kafka, copies=2, min_insync_replicas="2")
        with_both = eventually(lambda: troubles(kafka, "copies"), 60.0)[0]

        second.kill()
        alone = eventually(lambda: _first_problem(kafka), 60.0, what="the broker's copies are out of step")

    assert with_both[:2] == (
        "warning",
        "notifications has 2 copies and min.insync.replicas=2: one broker away stops publishing",
    )
    assert with_both[2].endswith("--entity-name notifications --add-config min.insync.replicas=1")
    assert alone
    assert alone[1] == "notifications has 1 copies in step and min.insync.replicas=2: Kafka refuses what is published"


def _first_problem(kafka: str) -> tuple[str, str, str] | None:
    return next((one for one in troubles(kafka, "copies") if one[0] == "problem"), None)


@pytest.mark.kafka
def test_records_that_will_be_removed_unread_are_a_warning(kafka: str) -> None:
    make(kafka, retention_ms=str(10 * DAY))
    _produce(kafka, ages=[9.5, 9.0, 7.0, 0.0])

    (found,) = troubles(kafka, "retention")

    assert found[:2] == (
        "warning",
        "notifications: 4 records unread, kept for 10.0 d; 2 of them are older than 80% of that",
    )
    assert f"--add-config retention.ms={20 * DAY}" in found[2]
    _commit(kafka, 2)
    assert troubles(kafka, "retention") == []


@pytest.mark.kafka
def test_records_that_were_removed_unread_are_a_warning(kafka: str) -> None:
    make(kafka)
    _produce(kafka, ages=[0.0, 0.0, 0.0])
    _commit(kafka, 1)
    admin, gone = AdminClient({"bootstrap.servers": kafka}), TopicPartition("notifications", 0, 3)
    admin.delete_records([gone])[gone].result(30)

    (found,) = troubles(kafka, "retention")

    assert found[0] == "warning"
    assert found[1].startswith("notifications: 0 records unread, kept for 7.0 d; 2 were removed unread: ")


@pytest.mark.kafka
def test_a_group_without_a_pipeline_is_a_warning_and_one_with_it_is_ok(kafka: str) -> None:
    make(kafka)
    (nobody,) = look_at_kafka(kafka, "group")

    with closing(Consumer({"bootstrap.servers": kafka, "group.id": "herald"})) as consumer:
        consumer.subscribe(["notifications", "generic_topic"])
        eventually(lambda: consumer.poll(0.1) or consumer.assignment(), 60.0, what="it has its partitions")
        (found,) = look_at_kafka(kafka, "group")

    assert (nobody.level, nobody.advice) == ("warning", "herald pipeline")
    assert (found.level, found.text) == ("ok", "1 member in the group herald, which read all 8 partitions")


@pytest.mark.kafka
def test_partitions_that_nobody_reads_are_a_warning(kafka: str) -> None:
    make(kafka)

    with closing(Consumer({"bootstrap.servers": kafka, "group.id": "herald"})) as consumer:
        consumer.subscribe(["notifications"])
        eventually(lambda: consumer.poll(0.1) or consumer.assignment(), 60.0, what="it has its partitions")
        (found,) = look_at_kafka(kafka, "group")

    assert found.level == "warning"
    assert found.text == (
        "1 member in the group herald, none of which reads generic_topic 0, generic_topic 1, generic_topic 2,"
        " generic_topic 3"
    )


@pytest.fixture
def odd_kafka(tmp_path: Path) -> Iterator[str]:
    """It lets no pipeline in, forgets soon, and makes topics that nobody asked for."""
    require_java()
    kafka = ApacheKafka(tmp_path)
    kafka.configure(
        group_min_session_timeout_ms="20000", offsets_retention_minutes="60", auto_create_topics_enable="true"
    )
    with kafka:
        yield kafka.bootstrap_servers


@pytest.mark.kafka
def test_a_broker_that_refuses_pipelines_or_forgets_them_is_found(odd_kafka: str) -> None:
    assert troubles(odd_kafka, "session timeout") == [
        (
            "problem",
            "HERALD_SESSION_TIMEOUT is 6 s, the brokers allow 20 to 1800: no pipeline is let in",
            "Set HERALD_SESSION_TIMEOUT to at least 20",
        )
    ]
    assert troubles(odd_kafka, "session timeout", session_timeout=20) == []
    ((level, text, _),) = troubles(odd_kafka, "offsets")
    assert (level, text[:40]) == ("warning", "the group's place is forgotten 60 min af")
    ((level, text, _),) = troubles(odd_kafka, "automatic topics")
    assert (level, text[-19:]) == ("note", "with 1 partition(s)")


def _produce(kafka: str, *, ages: list[float]) -> None:
    """Records on one partition, so many days old."""
    producer, now = Producer({"bootstrap.servers": kafka}), time.time() * 1000
    for age in ages:
        producer.produce("notifications", b"x", partition=0, timestamp=round(now - age * DAY))
    assert producer.flush(30) == 0


def _commit(kafka: str, offset: int) -> None:
    with closing(Consumer({"bootstrap.servers": kafka, "group.id": "herald"})) as consumer:
        (place,) = consumer.commit(offsets=[TopicPartition("notifications", 0, offset)], asynchronous=False) or []
    assert place.error is None
