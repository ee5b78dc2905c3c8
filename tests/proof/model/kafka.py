"""A modelled Kafka: topics with ids and partitions, one group with members, and all that may be lost.

Offsets are places in a partition. A topic made anew has the same name, another id and offsets from 0.
"""

from collections import deque
from collections.abc import Callable
from typing import NamedTuple
from uuid import UUID

from herald.outbox.kafka.offsets import Offsets
from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.relay.records import Headers

Place = tuple[str, int]  # topic and partition


class KafkaAwayError(Exception):
    """The broker does not answer, or refuses for now."""


class StaleMemberError(Exception):
    """A commit of a member that is no longer one: Quix ends the process."""


class Sent(NamedTuple):
    """A record; `mark` is what the judge knows it by: message and request, or a foreign producer's token."""

    value: bytes
    key: str | None
    timestamp: int
    headers: Headers | None
    mark: tuple[UUID | str, int]


class Topic:
    def __init__(self, topic_id: str, partitions: int) -> None:
        self.id = topic_id
        self.partitions: list[list[Sent]] = [[] for _ in range(partitions)]
        self.first = [0] * partitions  # what was there before, Kafka has removed

    def partition(self, key: str | None) -> int:
        """That of the key; of none, one after the other."""
        if key is not None:
            return partition_of(key.encode(), len(self.partitions))
        return sum(map(len, self.partitions)) % len(self.partitions)

    def add_partition(self) -> None:
        self.partitions.append([])
        self.first.append(0)


class Kafka:
    def __init__(self, names: tuple[str, ...], partitions: int) -> None:
        self._made = 0
        self.generation = 0
        self._names = names
        self.partitions = partitions
        self.topics: dict[str, Topic] = {}
        self.is_away = False
        self.committed: dict[Place, int] = {}
        self.members: list[object] = []
        self.make_topics()

    def check(self) -> None:
        """Raises KafkaAwayError."""
        if self.is_away:
            raise KafkaAwayError

    def make_topics(self) -> None:
        for name in self._names:
            if name not in self.topics:
                self._made += 1
                self.topics[name] = Topic(f"topic-{self._made}", self.partitions)
                self.rebalance()

    def delete(self, name: str) -> None:
        """With what the group has committed of it, as Kafka does."""
        del self.topics[name]
        self.committed = {place: offset for place, offset in self.committed.items() if place[0] != name}

    def append(self, name: str, record: Sent) -> None:
        """Raises KafkaAwayError; also where the topic does not exist (any more)."""
        self.check()
        if name not in self.topics:
            raise KafkaAwayError
        topic = self.topics[name]
        topic.partitions[topic.partition(record.key)].append(record)

    def topic_ids(self) -> dict[str, str]:
        self.check()
        return {name: topic.id for name, topic in self.topics.items()}

    def ends(self, names: tuple[str, ...]) -> Offsets:
        self.check()
        return {
            name: {str(number): len(records) for number, records in enumerate(self.topics[name].partitions)}
            for name in names
            if name in self.topics
        }

    def first(self, names: tuple[str, ...]) -> Offsets:
        self.check()
        return {
            name: {str(number): first for number, first in enumerate(self.topics[name].first)}
            for name in names
            if name in self.topics
        }

    def unread_from(self, name: str, number: int) -> int:
        """Where the group goes on."""
        return max(self.committed.get((name, number), 0), self.topics[name].first[number])

    def read_committed(self) -> Offsets:
        self.check()
        found: Offsets = {}
        for (name, number), offset in self.committed.items():
            found.setdefault(name, {})[str(number)] = offset
        return found

    def rebalance(self) -> None:
        """Everybody's partitions may change hands; who has not heard of it still believes to own the old ones."""
        self.generation += 1

    def join(self, member: object) -> None:
        self.members.append(member)
        self.rebalance()

    def leave(self, member: object) -> None:
        if member in self.members:
            self.members.remove(member)
            self.rebalance()

    def assigned(self, member: object, names: tuple[str, ...]) -> list[Place]:
        """Every partition has one owner, who changes with the generation."""
        if member not in self.members:
            return []
        mine, count = self.members.index(member), len(self.members)
        places = [
            (name, number)
            for name in names
            if name in self.topics
            for number in range(len(self.topics[name].partitions))
        ]
        return [place for index, place in enumerate(places) if (index + self.generation) % count == mine]

    def commit(self, member: object, generation: int, offsets: dict[Place, int]) -> None:
        """Raises StaleMemberError, KafkaAwayError."""
        self.check()
        is_gone = any(name not in self.topics for name, _ in offsets)
        if is_gone or generation != self.generation or member not in self.members:
            raise StaleMemberError
        self.committed.update(offsets)

    def is_consumed(self, names: tuple[str, ...]) -> bool:
        return all(name in self.topics for name in names) and all(
            self.unread_from(name, number) >= len(records)
            for name in names
            for number, records in enumerate(self.topics[name].partitions)
        )


class Producer:
    """Records on their way, in their order; `land` moves the oldest to its partition and acknowledges it."""

    def __init__(self, kafka: Kafka, on_landing: Callable[[str, Sent], None]) -> None:
        self._kafka = kafka
        self._on_landing = on_landing
        self._queue: deque[tuple[str, Sent, Callable[[], None]]] = deque()

    def __len__(self) -> int:
        return len(self._queue)

    def produce(self, topic: str, record: Sent, on_delivery: Callable[[], None]) -> None:
        self._queue.append((topic, record, on_delivery))

    def land(self) -> None:
        """Raises KafkaAwayError: it stays first in the queue."""
        topic, record, on_delivery = self._queue[0]
        self._kafka.append(topic, record)
        self._queue.popleft()
        self._on_landing(topic, record)
        on_delivery()
