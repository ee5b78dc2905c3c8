"""Requests that Kafka lost, searched for on a real broker, without a relay or a pipeline."""

from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, make_admin
from herald.outbox.kafka.offsets import Offsets, read_ends_told
from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.kafka.topics import make_topics
from herald.outbox.moves.accept import make_acceptance
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import TOPICS
from herald.outbox.relay import cursor as cursors
from herald.outbox.scheduler import gaps, pages
from herald.outbox.scheduler.lost import Sweep
from herald.outbox.scheduler.pages import Pages, load_pages
from herald.outbox.settings import Settings
from tests.outbox.connections import accepted, compared, execute_and_commit, make_settings
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.eventually import eventually

TOPIC = "notifications"
PARTITIONS = 4
ANSWER = 10.0  # seconds
KEYS = {
    number: next(key for key in map(str, range(99)) if partition_of(key.encode(), 4) == number) for number in range(4)
}


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with compared(database) as connection:
        connection.autocommit = True
        yield connection
        connection.autocommit = False


@pytest.fixture
def settings(database: str, each_broker: str) -> Settings:
    return with_topics(make_settings(database, KAFKA_BOOTSTRAP_SERVERS=each_broker))


@pytest.fixture
def kafka_settings(database: str, kafka: str) -> Settings:
    return with_topics(make_settings(database, KAFKA_BOOTSTRAP_SERVERS=kafka))


def with_topics(settings: Settings) -> Settings:
    admin = make_admin(settings)
    make_topics(admin, settings)
    told = dict.fromkeys(TOPICS, PARTITIONS)
    eventually(lambda: {name: len(ends) for name, ends in read_ends(admin).items()} == told, ANSWER)
    return settings


def read_ends(admin: AdminClient) -> Offsets:
    return read_ends_told(admin, admin.list_topics(timeout=ANSWER_TIMEOUT), TOPICS)


def requested(connection: Connection, *keys: str | None) -> list[UUID]:
    """Accepted, and passed by the cursor."""
    data = b'{"user_id":"ada","event":"x","content":"x"}'
    messages = accepted(connection, *(make_acceptance(TOPIC, key, data) for key in keys))
    cursors.load(connection)
    execute_and_commit(connection, "UPDATE relay_cursor SET previous = pg_current_snapshot(), epoch = epoch + 1")
    return messages


def publish(settings: Settings, *partitions: int) -> None:
    producer = Producer({"bootstrap.servers": settings.kafka_bootstrap_servers})
    for number in partitions:
        for _ in range(2):  # the embedded broker may list where the last batch begins
            producer.produce(TOPIC, b"{}", partition=number)
            assert producer.flush(ANSWER) == 0


def commit(settings: Settings, **offsets: int) -> None:
    """As the group does; by p0, p1 and so on."""
    places = [TopicPartition(TOPIC, int(name[1:]), offset) for name, offset in offsets.items()]
    group = {"bootstrap.servers": settings.kafka_bootstrap_servers, "group.id": settings.group}
    with closing(Consumer(group)) as consumer:
        consumer.commit(offsets=places, asynchronous=False)


def remove(settings: Settings, **offsets: int) -> None:
    """As the retention does, up to there."""
    places = [TopicPartition(TOPIC, int(name[1:]), offset) for name, offset in offsets.items()]
    admin = make_admin(settings)
    for removed in admin.delete_records(places).values():
        removed.result(ANSWER)


def abort_a_transaction(settings: Settings, *partitions: int, leaves_open: bool = False) -> Producer:
    """What a transactional producer leaves behind: nothing that anybody may read."""
    config = {"bootstrap.servers": settings.kafka_bootstrap_servers, "transactional.id": "elsewhere", "log_level": 0}
    producer = Producer(config)
    producer.init_transactions(30.0)
    producer.begin_transaction()
    for number in partitions:
        producer.produce(TOPIC, b"{}", partition=number)
    assert producer.flush(ANSWER) == 0
    if not leaves_open:
        producer.abort_transaction(ANSWER)
    return producer


def requests(connection: Connection) -> dict[str | None, int]:
    return dict(fetch(connection, "SELECT key, request FROM messages"))


def test_what_the_group_has_passed_without_an_attempt_is_requested_again(
    connection: Connection, settings: Settings
) -> None:
    """In its partition alone: what waits in another one is left alone."""
    admin = make_admin(settings)
    requested(connection, KEYS[1], KEYS[2])
    publish(settings, 1, 2)
    Pages().note(connection, admin)
    sweep = Sweep(settings)

    waiting = sweep.request_lost(connection, admin)
    commit(settings, p2=2)
    passed = [sweep.request_lost(connection, admin) for _ in range(2)]

    assert (waiting, passed) == (0, [1, 0])
    assert requests(connection) == {KEYS[1]: 1, KEYS[2]: 2}


def test_of_a_topic_of_which_a_partition_is_withheld_the_others_are_searched(
    connection: Connection, settings: Settings
) -> None:
    """The cursor has passed what belongs to it, and Kafka has none of that."""
    admin = make_admin(settings)
    requested(connection, KEYS[1], KEYS[2])
    execute_and_commit(
        connection,
        "INSERT INTO relay_withheld (topic, partition, partitions, previous, last_position, reason)"
        " VALUES (%s, 1, %s, '1:1:', 0, 'no leader'), ('orders', -1, 0, '1:1:', 0, 'no such topic')",
        TOPIC,
        PARTITIONS,
    )
    publish(settings, 1, 2)
    Pages().note(connection, admin)

    commit(settings, p1=2, p2=2)

    assert Sweep(settings).request_lost(connection, admin) == 1
    assert requests(connection) == {KEYS[1]: 1, KEYS[2]: 2}


def test_what_has_no_key_waits_until_every_partition_is_passed(connection: Connection, settings: Settings) -> None:
    admin = make_admin(settings)
    requested(connection, None)
    publish(settings, 1, 2)
    Pages().note(connection, admin)
    sweep = Sweep(settings)

    commit(settings, p2=2)
    one = sweep.request_lost(connection, admin)
    commit(settings, p1=2)

    assert (one, sweep.request_lost(connection, admin)) == (0, 1)


@pytest.mark.kafka
def test_what_kafka_removed_unread_is_requested_again_once(connection: Connection, kafka_settings: Settings) -> None:
    """The group has never committed anything, and nothing else happens."""
    admin = make_admin(kafka_settings)
    requested(connection, KEYS[1], KEYS[2])
    publish(kafka_settings, 1, 2)
    Pages().note(connection, admin)
    sweep = Sweep(kafka_settings)

    remove(kafka_settings, p1=2)

    assert [sweep.request_lost(connection, admin) for _ in range(2)] == [1, 0]
    assert requests(connection) == {KEYS[1]: 2, KEYS[2]: 1}


@pytest.mark.kafka
def test_control_records_and_aborted_data_at_the_end_count_as_read(
    connection: Connection, kafka_settings: Settings
) -> None:
    """No group ever commits beyond them; they are looked at once the partition stands still."""
    admin = make_admin(kafka_settings)
    requested(connection, KEYS[1], KEYS[2])
    publish(kafka_settings, 1, 2)
    abort_a_transaction(kafka_settings, 1, 2)
    Pages().note(connection, admin)
    commit(kafka_settings, p1=2, p2=1)
    sweep = Sweep(kafka_settings)

    assert [sweep.request_lost(connection, admin) for _ in range(3)] == [0, 1, 0]
    assert requests(connection) == {KEYS[1]: 2, KEYS[2]: 1}, "a record is still unread in the other partition"


@pytest.mark.kafka
def test_what_stands_behind_an_open_transaction_waits(connection: Connection, kafka_settings: Settings) -> None:
    admin = make_admin(kafka_settings)
    producer = abort_a_transaction(kafka_settings, 1, leaves_open=True)
    requested(connection, KEYS[1])
    publish(kafka_settings, 1)
    Pages().note(connection, admin)
    sweep = Sweep(kafka_settings)

    waiting = [sweep.request_lost(connection, admin) for _ in range(3)]
    producer.abort_transaction(ANSWER)
    readable = [sweep.request_lost(connection, admin) for _ in range(2)]
    commit(kafka_settings, p1=3)
    passed = [sweep.request_lost(connection, admin) for _ in range(2)]

    assert (waiting, readable, passed) == ([0, 0, 0], [0, 0], [1, 0])


@pytest.mark.kafka
def test_a_look_at_what_does_not_answer_ends_in_time(
    connection: Connection, kafka_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gaps, "PATIENCE", 0.0)
    admin = make_admin(kafka_settings)
    requested(connection, KEYS[1])
    abort_a_transaction(kafka_settings, 1)
    Pages().note(connection, admin)
    sweep = Sweep(kafka_settings)

    unanswered = [sweep.request_lost(connection, admin) for _ in range(3)]
    monkeypatch.setattr(gaps, "PATIENCE", 10.0)

    assert unanswered == [0, 0, 0]
    assert sweep.request_lost(connection, admin) == 1


def ends_told(admin: AdminClient) -> set[str]:
    """Of which partitions an end is told; nothing while the broker that is asked has just gone."""
    with suppress(KafkaException):
        return set(read_ends(admin)[TOPIC])
    return set()


@pytest.mark.kafka
def test_a_partition_without_a_leader_holds_up_nobody_elses_search(
    connection: Connection, database: str, own_kafka: ApacheKafka, tmp_path: Path
) -> None:
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=own_kafka.bootstrap_servers)
    admin, second = make_admin(settings), own_kafka.another(tmp_path / "second")
    with second:
        eventually(lambda: len(admin.list_topics(timeout=ANSWER_TIMEOUT).brokers) == 2, 60.0)
        places: Any = [[1], [1], [1], [2]]  # the stub says str
        (made,) = admin.create_topics([NewTopic(TOPIC, 4, replica_assignment=places)]).values()
        made.result(ANSWER)
        make_topics(admin, settings)
        requested(connection, KEYS[1], KEYS[3])
        eventually(lambda: len(read_ends(admin).get(TOPIC, {})) == 4, ANSWER)
        publish(settings, 1, 3)
        Pages().note(connection, admin)
    eventually(lambda: ends_told(admin) == {"0", "1", "2"}, 60.0, what="the last one has no leader")
    execute_and_commit(connection, "UPDATE relay_cursor SET epoch = epoch + 1")
    Pages().note(connection, admin)
    commit(settings, p1=2, p3=2)

    assert Sweep(settings).request_lost(connection, admin) == 1
    assert requests(connection) == {KEYS[1]: 2, KEYS[3]: 1}
    assert [set(page.end_offsets[TOPIC]) for page in sorted(load_pages(connection))][-1] == {"0", "1", "2"}


def test_a_partition_that_was_left_out_or_added_is_noted_without_new_traffic(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, now = {TOPIC: {"0": 5}}, [0.0]
    noting = told_by(monkeypatch, told, now, partitions=2)
    requested(connection, "ada")

    noting.note(connection, Silent({}))
    told[TOPIC]["1"] = 3
    noting.note(connection, Silent({}))
    (first,) = load_pages(connection)
    told[TOPIC].update({"0": 6, "2": 1})
    noting.note(connection, Silent({}))
    (same,) = load_pages(connection)
    now[0] = pages.LOOK_AGAIN + 1
    noting.note(connection, Silent({}))
    (second,) = load_pages(connection)

    assert first.end_offsets == same.end_offsets == {TOPIC: {"0": 5, "1": 3}}
    assert second == first._replace(end_offsets={TOPIC: {"0": 5, "1": 3, "2": 1}})


def test_no_more_pages_are_kept_than_can_be_looked_through(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While one partition has no leader for hours; the older, the fewer, and always the newest."""
    monkeypatch.setattr(pages, "MOST_PAGES", 8)
    noting = told_by(monkeypatch, {TOPIC: {"0": 5}}, [0.0], partitions=1)
    cursors.load(connection)

    for _ in range(40):
        execute_and_commit(connection, "UPDATE relay_cursor SET epoch = epoch + 1")
        noting.note(connection, Silent({}))
    epochs = sorted(page.epoch for page in load_pages(connection))

    assert len(epochs) <= 8
    assert epochs[-1] == 40
    assert epochs[0] <= 16


class Silent(AdminClient):
    def list_topics(self, *_: object, **__: object) -> None:  # type: ignore[override]  # what it returns is not looked at
        """Ask nobody."""


def told_by(monkeypatch: pytest.MonkeyPatch, told: Offsets, now: list[float], *, partitions: int) -> Pages:
    """Pages of a Kafka that tells these ends."""
    monkeypatch.setattr(pages, "partitions_of", lambda _metadata, _names: {TOPIC: list(range(partitions))})
    monkeypatch.setattr(pages, "read_ends_told", lambda _admin, _metadata, _names: {TOPIC: dict(told[TOPIC])})
    monkeypatch.setattr(pages, "monotonic", lambda: now[0])

    return Pages()
