"""Reads along what stands on the topics: Herald's own records, to be copied once their messages are over.

A copy of a message that is not over may be delivered in its place: whoever may write to the topics can do that.
"""

from collections import deque
from collections.abc import Callable, Container
from collections.abc import Set as AbstractSet
from threading import Event, Thread
from types import TracebackType
from typing import Self
from uuid import uuid4

from confluent_kafka import Consumer, Message, TopicPartition

from herald.outbox.registry import TOPICS
from tests.proof.fuzz.records import Forged

KEPT = 500
Place = tuple[str, int, int]  # topic, partition, offset
POLL = 0.2  # seconds
ANSWER = 10.0  # seconds


class Copies:
    """Runs in a thread for as long as the `with` lasts.

    What stands at a `forged` place is none of Herald's; `read_over` tells the ids of the messages that are over.
    """

    def __init__(
        self, bootstrap_servers: str, forged: Container[Place], read_over: Callable[[], AbstractSet[str]]
    ) -> None:
        settings = {
            "bootstrap.servers": bootstrap_servers,
            "group.id": f"copies-{uuid4()}",
            "enable.auto.commit": False,
        }
        self._consumer = Consumer(settings)
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)
        self._seen: deque[tuple[str, Place, Forged]] = deque(maxlen=4 * KEPT)
        self._forged = forged
        self._read_over = read_over

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
        """The newest of those whose messages are over."""
        seen, over = list(self._seen), self._read_over()
        return [record for message, place, record in seen if message in over and place not in self._forged][-KEPT:]

    def _run(self) -> None:
        while not self._stop.is_set():
            for record in self._consumer.consume(100, POLL):
                headers = dict(record.headers() or [])
                if record.error() is None and "ce_request" in headers:
                    message = headers.get("ce_subject") or b""
                    self._seen.append((message.decode(errors="replace"), place_of(record), _copied(record)))


def place_of(record: Message) -> Place:
    return record.topic() or "", record.partition() or 0, record.offset() or 0


def _copied(record: Message) -> Forged:
    key, headers = record.key(), record.headers() or []
    raw_key = key.encode() if isinstance(key, str) else key
    return Forged(0, "own", record.topic() or "", record.value(), raw_key, [*headers])
