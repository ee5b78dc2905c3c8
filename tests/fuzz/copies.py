"""Reads along what stands on the topics: Herald's own records, to be copied once their messages are over."""

from collections import deque
from collections.abc import Container
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Self
from uuid import uuid4

from confluent_kafka import Consumer, Message, TopicPartition

from outbox.registry import TOPICS
from tests.fuzz.records import Forged

OLD = 3.0  # seconds after which a message is over: a copy that comes before its original may be delivered in its place
KEPT = 500
Place = tuple[str, int, int]  # topic, partition, offset
POLL = 0.2  # seconds
ANSWER = 10.0  # seconds


class Copies:
    """Runs in a thread for as long as the `with` lasts. What stands at a `forged` place is none of Herald's."""

    def __init__(self, bootstrap_servers: str, forged: Container[Place]) -> None:
        settings = {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"copies-{uuid4()}",
            "enable.auto.commit": False,
        }
        self._consumer = Consumer(settings)
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._seen: deque[tuple[float, Place, Forged]] = deque(maxlen=4 * KEPT)
        self._forged = forged

    def __enter__(self) -> Self:
        for topic in TOPICS:
            self._consumer.list_topics(topic, timeout=ANSWER)
        found = self._consumer.list_topics(timeout=ANSWER).topics
        self._consumer.assign(
            [TopicPartition(topic, number, 0) for topic in TOPICS for number in found[topic].partitions]
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._consumer.close()

    @property
    def own(self) -> list[Forged]:
        """The newest of those that are old enough."""
        now = monotonic()
        return [record for at, place, record in list(self._seen) if now - at > OLD and place not in self._forged][
            -KEPT:
        ]

    def _run(self) -> None:
        while not self._stop.is_set():
            for record in self._consumer.consume(100, POLL):
                if record.error() is None and "ce_request" in dict(record.headers() or []):
                    self._seen.append((monotonic(), place_of(record), _copied(record)))


def place_of(record: Message) -> Place:
    return record.topic() or "", record.partition() or 0, record.offset() or 0


def _copied(record: Message) -> Forged:
    key, headers = record.key(), record.headers() or []
    raw_key = key.encode() if isinstance(key, str) else key
    return Forged(0, "own", record.topic() or "", record.value(), raw_key, [*headers])
