"""A producer without a broker, for what real ones refuse or leave without an answer."""

from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pytest
from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import BrokerMetadata, ClusterMetadata, PartitionMetadata, TopicMetadata

from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.relay import publisher as publishing

PARTITIONS = 4


@dataclass
class Report:
    """What `on_delivery` is told of a record."""

    name: str
    to: str | None
    number: int

    def topic(self) -> str:
        """Of which topic it is."""
        return self.name

    def key(self) -> bytes | None:
        """Its key, as bytes."""
        return None if self.to is None else self.to.encode()

    def partition(self) -> int:
        """Where it was to be written."""
        return self.number


class FakeBrokers:
    """What all fake producers of a test write to; a topic's records count once acknowledged.

    Records of more than `most` bytes are refused by the broker, those of more than `most_local` by the producer; a
    partition in `mute` answers nothing.
    """

    def __init__(
        self, *, most: int = 1_000_000, most_local: int = 1_000_000, mute: frozenset[int] = frozenset()
    ) -> None:
        self.most = most
        self.most_local = most_local
        self.mute = mute
        self.taken: Counter[str] = Counter()
        self._turns = 0

    def choose(self, key: str | None, partition: int) -> int:
        """The partition, as a real producer chooses it."""
        if partition >= 0:
            return partition
        if key is not None:
            return partition_of(key.encode(), PARTITIONS)
        self._turns += 1
        return self._turns % PARTITIONS


class FakeProducer:
    """Gives its reports when it is polled."""

    def __init__(self, brokers: FakeBrokers) -> None:
        self._brokers = brokers
        self._reports: list[Callable[[], None]] = []

    def produce(
        self,
        topic: str,
        value: str,
        key: str | None,
        partition: int,
        *,
        headers: Mapping[str, str],
        on_delivery: Callable[[KafkaError | None, Report], None],
    ) -> None:
        """Raises KafkaException for what is too large for the producer."""
        assert headers
        if len(value) > self._brokers.most_local:
            raise KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
        number = self._brokers.choose(key, partition)
        if number in self._brokers.mute:
            return
        error = KafkaError(KafkaError.MSG_SIZE_TOO_LARGE) if len(value) > self._brokers.most else None
        self._reports.append(lambda: self._report(topic, error, on_delivery, Report(topic, key, number)))

    def _report(
        self, topic: str, error: KafkaError | None, tell: Callable[[KafkaError | None, Report], None], report: Report
    ) -> None:
        self._brokers.taken[topic] += error is None
        tell(error, report)

    def poll(self, _timeout: float) -> int:
        """Give all the reports there are."""
        reports, self._reports = self._reports, []
        for report in reports:
            report()
        return len(reports)

    def flush(self, timeout: float) -> int:
        """Nothing lingers here."""
        self.poll(timeout)
        return 0

    def purge(self) -> None:
        """Forget what was not reported."""
        self._reports.clear()

    def list_topics(self, timeout: float) -> ClusterMetadata:
        """One topic, every partition of which has a leader."""
        assert timeout
        cluster, topic = ClusterMetadata(), TopicMetadata()
        cluster.brokers = {1: BrokerMetadata()}
        for number in range(PARTITIONS):
            partition = PartitionMetadata()
            partition.id, partition.leader = number, 1
            topic.partitions[number] = partition
        cluster.topics = {"notifications": topic}
        return cluster


def use_fake_producers(monkeypatch: pytest.MonkeyPatch, brokers: FakeBrokers) -> None:
    """Have every publisher of this test write to them."""
    monkeypatch.setattr(publishing, "make_producer", lambda *_args, **_more: FakeProducer(brokers))
    monkeypatch.setattr(publishing, "abandon", lambda _producer: None)
