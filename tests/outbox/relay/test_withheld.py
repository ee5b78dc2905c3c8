"""A partition or a topic that Kafka does not take holds up nothing else, and catches up in order."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Message
from confluent_kafka.admin import NewTopic

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.kafka.topics import make_topics
from herald.outbox.moves.accept import make_acceptance
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.cursor import LostLeadError
from herald.outbox.relay.errors import WithheldError
from herald.outbox.relay.publisher import Publisher
from herald.outbox.relay.reader import Limits, read_page
from herald.outbox.relay.sieve import Sieve
from herald.outbox.relay.withheld import (
    WHOLE,
    Part,
    Withheld,
    load_withheld,
    save_withheld,
    whole_topics,
    withhold,
)
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, execute_and_commit, make_settings, status_of
from tests.outbox.relay.test_relay import Topic, headers
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.troubled_broker import TroubledBroker

LEADS = 40.0  # seconds
PARTITIONS = 4
DEAD = 1  # the partition without a leader
KEYS = [f"user-{number}" for number in range(40)]
STUCK = [key for key in KEYS if partition_of(key.encode(), PARTITIONS) == DEAD]


@pytest.fixture
def troubled(tmp_path: Path) -> Iterator[TroubledBroker]:
    with TroubledBroker(tmp_path) as troubled:
        troubled.has_leader = lambda topic, partition: (topic, partition) != ("notifications", DEAD)
        yield troubled


@pytest.fixture
def fenced(database: str, troubled: TroubledBroker) -> TroubledBroker:
    """Before the relay's producer learns who leads: it would go on to write there. Connections stay."""
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=troubled.bootstrap_servers)
    make_topics(make_admin(settings), settings)
    troubled.phase = "fenced"  # a client that loses its own now may never come back
    return troubled


@pytest.fixture
def relay(database: str, troubled: TroubledBroker, start_herald: StartHerald) -> HeraldProcess:
    relay = start_herald("relay", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=troubled.bootstrap_servers)
    relay.wait_for("leading", LEADS)
    return relay


def write(connection: Connection, round_: int) -> None:
    """A message for every key, and one without a key."""
    accepted(connection, *(make_acceptance("notifications", key, b"%d" % round_) for key in (*KEYS, None)))


def withheld(connection: Connection) -> list[tuple[str, int, int]]:
    found = fetch(connection, "SELECT topic, partition, waiting FROM relay_withheld ORDER BY topic, partition")
    connection.rollback()
    return found


def by_key(records: list[Message]) -> dict[str | None, list[int]]:
    """The rounds of each key in the order in which they first came."""
    found: defaultdict[str | None, list[int]] = defaultdict(list)
    for record in records:
        key = headers(record).get("ce_partitionkey")
        round_ = int(record.value() or b"0")
        if round_ not in found[key]:
            found[key].append(round_)
    found[None].sort()  # these go to several partitions
    return found


def test_a_partition_without_a_leader_holds_up_its_own_keys_only_and_catches_up_in_order(
    connection: Connection, fenced: TroubledBroker, relay: HeraldProcess
) -> None:
    topic = Topic(fenced.tansu.bootstrap_servers)
    write(connection, 1)
    eventually(lambda: withheld(connection), LEADS)
    for round_ in (2, 3):
        write(connection, round_)
    others = {key for key in (*KEYS, None) if key not in STUCK}

    eventually(lambda: {key for key, rounds in by_key(topic.read()).items() if rounds == [1, 2, 3]} >= others, LEADS)
    assert not set(STUCK) & by_key(topic.read()).keys()
    eventually(lambda: withheld(connection) == [("notifications", DEAD, 3 * len(STUCK))], LEADS)

    fenced.phase = "well"
    for round_ in (4, 5):
        write(connection, round_)
    eventually(lambda: all(len(by_key(topic.read())[key]) == 5 for key in (*KEYS, None)), LEADS)
    assert all(rounds == [1, 2, 3, 4, 5] for rounds in by_key(topic.read()).values())
    eventually(lambda: not withheld(connection), LEADS)
    assert "term_ended" not in relay.output()
    assert relay.stop() == 0


def test_a_relay_that_is_killed_while_a_partition_is_withheld_loses_nothing_of_it(
    connection: Connection, fenced: TroubledBroker, relay: HeraldProcess
) -> None:
    write(connection, 1)
    topic = Topic(fenced.tansu.bootstrap_servers)
    eventually(lambda: withheld(connection) == [("notifications", DEAD, len(STUCK))], LEADS)
    relay.kill()
    write(connection, 2)
    relay.start()
    eventually(lambda: withheld(connection) == [("notifications", DEAD, 2 * len(STUCK))], LEADS)
    fenced.phase = "well"

    eventually(lambda: all(by_key(topic.read())[key] == [1, 2] for key in (*KEYS, None)), LEADS)


def test_a_topic_that_nobody_knows_yet_waits_and_is_published_once_it_is_there(
    connection: Connection, troubled: TroubledBroker, relay: HeraldProcess
) -> None:
    (early,) = accepted(connection, make_acceptance("orders", "ada", b"1"))
    others = accepted(connection, make_acceptance("notifications", "ada", b"1"))
    topic = Topic(troubled.tansu.bootstrap_servers)

    eventually(lambda: set(topic.subjects()) == {str(one) for one in others}, LEADS)
    eventually(lambda: withheld(connection) == [("orders", WHOLE, 1)], LEADS)
    assert status_of(connection, early) == "pending"
    settings = make_settings(
        "postgresql://herald@localhost/herald", KAFKA_BOOTSTRAP_SERVERS=troubled.tansu.bootstrap_servers
    )
    admin = make_admin(settings)
    admin.create_topics([NewTopic("orders", 2, 1)])["orders"].result(10)

    orders = Topic(troubled.tansu.bootstrap_servers, "orders")
    eventually(lambda: orders.subjects() == [str(early)], LEADS)
    (late,) = accepted(connection, make_acceptance("orders", "ada", b"2"))
    eventually(lambda: orders.subjects()[-1] == str(late), LEADS)
    assert relay.stop() == 0


def test_of_a_topic_without_any_leader_the_whole_is_withheld() -> None:
    parts = {Part("a", number, 3) for number in (0, 2)}

    assert whole_topics(parts, []) == parts
    known = [Withheld(Part("a", 1, 3), None)]  # type: ignore[arg-type]  # its cursor is of no account
    assert whole_topics(parts, known) == {Part("a", WHOLE, 0)}


def test_the_whole_begins_where_the_part_furthest_behind_has_read_nothing_of_its_difference(
    connection: Connection,
) -> None:
    """How far one part has come within a difference says nothing of what the relay has passed of another."""
    main = cursors.load(connection)
    for previous, part in (("100:110:101", 0), ("100:110:101,105", 1)):
        execute(
            connection,
            "INSERT INTO relay_withheld (topic, partition, partitions, previous, target, last_position, reason)"
            " VALUES ('a', %s, 3, %s, '200:200:', 9990, 'no leader')",
            part,
            previous,
        )
    main = cursors.save(connection, replace(main, previous="150:150:"))

    withhold(connection, main, {Part("a", WHOLE, 0): "no such topic"})

    (found,) = load_withheld(connection, main)
    assert (found.part, found.cursor.previous) == (Part("a", WHOLE, 0), "100:110:101,105")
    assert (found.cursor.target, found.cursor.last_position) == (None, 0)


def test_what_has_no_key_goes_to_partitions_that_are_not_withheld() -> None:
    sieve = Sieve([Withheld(Part("a", 1, 3), None)])  # type: ignore[arg-type]
    row = ("id", 1, "type", "a", None, "{}", "", "1", None, 7)

    sent, kept = sieve.sift([row, row, row, row])

    assert [partition for _, partition in sent] == [0, 2, 0, 2]
    assert not kept


def test_parts_of_a_topic_that_was_made_anew_with_fewer_partitions_catch_up_as_the_whole(
    database: str, broker: str, connection: Connection, start_herald: StartHerald
) -> None:
    write(connection, 1)
    for partition in (DEAD, PARTITIONS - 1):
        execute_and_commit(
            connection,
            "INSERT INTO relay_withheld (topic, partition, partitions, previous, last_position, reason)"
            " VALUES ('notifications', %s, %s, '1:1:', 0, 'no leader')",
            partition,
            PARTITIONS,
        )

    start_herald("relay", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=broker, HERALD_PARTITIONS="2")

    topic = Topic(broker)
    eventually(lambda: by_key(topic.read()).keys() == {*KEYS, None}, LEADS)
    eventually(lambda: not withheld(connection), LEADS)


def test_a_partition_that_does_not_exist_withholds_its_topic(
    database: str, broker: str, connection: Connection
) -> None:
    settings = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=broker, HERALD_PARTITIONS=2)
    make_topics(make_admin(settings), settings)
    accepted(connection, make_acceptance("notifications", STUCK[0], b"1"))
    page = read_page(connection, cursors.load(connection), Limits(1))
    publisher = Publisher(settings)
    publisher.publish(page, partition=PARTITIONS)

    with pytest.raises(WithheldError) as ended:
        eventually(lambda: publisher.take_settled(0.1), LEADS)

    assert list(ended.value.parts) == [Part("notifications", WHOLE, 0)]


def test_of_two_relays_only_the_first_moves_what_is_withheld(connection: Connection) -> None:
    main = cursors.load(connection)
    withhold(connection, main, {Part("a", 1, 3): "no leader"})
    (stored,) = load_withheld(connection, main)
    moved = replace(stored, cursor=replace(main, target="200:200:", last_position=7))
    save_withheld(connection, moved, 1, before=main)

    with pytest.raises(LostLeadError):
        save_withheld(connection, replace(moved, cursor=replace(main, last_position=3)), 1, before=main)

    assert load_withheld(connection, main) == [moved]
