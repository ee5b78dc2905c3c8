"""What others write and send: forged, broken, huge. It stops nothing, and changes nothing that is Herald's."""

from collections.abc import Iterator
from contextlib import contextmanager

import httpx2
import pytest
from confluent_kafka import Message, Producer

from herald.outbox.registry import DEAD_LETTERS
from tests.proof.end_to_end.topic import reading
from tests.proof.faults.course import endure
from tests.proof.faults.world import DATABASE, World
from tests.servers.eventually import eventually

pytestmark = [pytest.mark.kafka, pytest.mark.proof]

ANSWER = 10.0  # seconds
STARTED = 60.0  # seconds
NOBODY = b"0190d3a1-7a51-7000-8000-000000000000"  # an id that Herald did not give
FORGED = b'{"user_id": "stranger", "event": "fault", "content": "forged"}'
STRANGERS = {"on Kafka and not in the log", "in the log and not asked for"}
BROKEN = [
    b"",
    b"\xff\xfe",
    b"{",
    b'{"user_id": "a\\u0000b", "event": "e", "content": "c"}',
    b'{"user_id": "a", "event": "e", "content": "\\ud800"}',
    b'{"user_id": "a", "event": "e", "content": 1e400000}',
    b"[" * 100_000,
    b'{"user_id": "a", "event": "e", "content": "' + b"x" * 900_000 + b'"}',
]
BODIES = [
    (b"\xff\xfe", {400, 422}),
    (b'{"user_id": "a\\u0000b", "event": "e", "content": "c"}', {400, 422}),
    (b'{"user_id": "a", "event": "e", "content": "\\ud800"}', {400, 422}),
    (b"[" * 100_000, {400, 422}),
    (b'{"user_id": "a", "event": "e", "content": "' + b"x" * 3_000_000 + b'"}', {413}),
]


@contextmanager
def flooded(world: World) -> Iterator[None]:
    """Each kind of broken record on the topic, and each kind of broken body to the API."""
    producer = Producer({"bootstrap.servers": world.kafka.bootstrap_servers, "message.max.bytes": 1_000_000})
    for record in BROKEN:
        producer.produce("notifications", record)
    assert producer.flush(ANSWER) == 0
    url = f"http://127.0.0.1:{world.scene.fleet.ports[0]}/notifications"
    for body, expected in BODIES:
        answer = httpx2.post(url, content=body, headers={"content-type": "application/json"}, timeout=ANSWER)
        assert answer.status_code in expected, answer.text
    yield


@contextmanager
def forged(world: World) -> Iterator[None]:
    """Another producer takes a record's headers: as they are, or with another request, another message, or no id."""
    with reading(world.kafka.bootstrap_servers, "notifications") as reader:
        true = next(record for record in reader.until(20) if record.headers())
    nobodys = {"ce_subject": NOBODY, "ce_id": NOBODY + b".1"}
    for changed in ({}, {"ce_request": b"7"}, nobodys, {"ce_subject": b"not an id", "ce_id": b"other"}):
        write(world, true, changed)
    yield


def write(world: World, like: Message, changed: dict[str, bytes]) -> None:
    headers = {**dict(like.headers() or []), **changed}
    producer = Producer({"bootstrap.servers": world.kafka.bootstrap_servers})
    producer.produce("notifications", FORGED, like.key(), headers=list(headers.items()))
    assert producer.flush(ANSWER) == 0


def test_broken_records_and_bodies_stop_nothing(world: World) -> None:
    world.allowed |= STRANGERS

    endure(world, "broken records and bodies: not UTF-8, NUL, lone surrogates, depth, size", flooded)

    with reading(world.kafka.bootstrap_servers, DEAD_LETTERS) as reader:
        eventually(lambda: len(reader.read()) >= len(BROKEN) - 1, STARTED, what="they are dead letters")


def test_forged_records_change_nothing_that_is_heralds(world: World) -> None:
    """One names a message that is not there and is taken for one that a fail-over lost; no other becomes a message."""
    world.allowed |= STRANGERS

    endure(world, "forged records with Herald's headers", forged)

    forged_ones = "SELECT count(*) FROM notifications WHERE content = 'forged'"
    eventually(lambda: world.server.ask(forged_ones, DATABASE) == 1, STARTED)
    assert world.server.ask("SELECT count(*) FROM messages WHERE request > 6", DATABASE) == 0
