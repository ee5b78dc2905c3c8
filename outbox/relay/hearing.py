"""Who acknowledges what is published, and since when somebody does not."""

import math
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import TopicMetadata

from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.relay.in_flight import InFlight
from herald.outbox.relay.withheld import Part, find_unavailable

MUTE = 10.0  # seconds without an acknowledgement after which a partition is withheld though it has a leader
LOOK = 1.0  # seconds to find out who leads
NEVER = -math.inf


class Hearing:
    """Acknowledgements, by topic and partition. `unnoted` is added to by each of them; notes are made of many at once.

    Kafka's names of topics are `unnoted`'s and those of what a page has settled; all others are Herald's.
    """

    def __init__(self, names: TopicNames) -> None:
        self._names = names
        self._since = time.monotonic()
        self._at: dict[tuple[str, int], float] = {}
        self._last = NEVER
        self.unnoted: set[tuple[str | None, int | None]] = set()
        self.taking: set[str] = set()  # topics of which something was acknowledged

    @property
    def silence(self) -> float:
        """Seconds since the last acknowledgement, or since the wait for one began."""
        return time.monotonic() - self._since

    def begin(self) -> None:
        """Something is in flight again."""
        self._since = time.monotonic()

    def is_within(self, seconds: float) -> bool:
        """Whether something was acknowledged so lately."""
        return time.monotonic() - self._last < seconds

    def note(self) -> Iterator[str]:
        """Note who has acknowledged something since the last time; gives topics that had not before."""
        if self.unnoted:
            self._since = self._last = time.monotonic()
        while self.unnoted:
            name, partition = self.unnoted.pop()
            topic = self._names.here(name or "")
            self._at[topic, -1 if partition is None else partition] = self._last
            if topic not in self.taking:
                self.taking.add(topic)
                yield topic

    def find_mute(
        self, oldest: InFlight, topics: Mapping[str, TopicMetadata], known: Sequence[Part]
    ) -> dict[Part, str]:
        """Partitions of the oldest page that acknowledge nothing while another one does (too few replicas in sync).

        Records without a key tell of no partition. Keys of a topic of which something is withheld (`known`) are told
        apart as before.
        """
        since = time.monotonic() - MUTE
        if oldest.began > since or self._last < since:
            return {}
        widths = {name: len(topic.partitions) for name, topic in topics.items()}
        widths.update({part.topic: part.partitions for part in known})

        def part_of(topic: str, key: str) -> Part:
            return Part(topic, partition_of(key.encode(), widths[topic]), widths[topic])

        open_ = Counter(part_of(row[3], row[4]) for row in oldest.sent if row[4] is not None)
        return {
            part: f"acknowledges nothing for {MUTE:g} s"
            for part, count in open_.items()
            if count > oldest.settled[self._names.on_kafka(part.topic), part.partition]
            and self._at.get(part[:2], NEVER) < since
        }


def find_stuck(
    producer: Producer, names: TopicNames, pages: Sequence[InFlight], known: Sequence[Part], hearing: Hearing
) -> dict[Part, str]:
    """What holds up the oldest page: nobody leads it, or it acknowledges nothing. Nothing in an outage of all."""
    try:
        topics = names.own(producer.list_topics(timeout=LOOK).topics)
    except KafkaException:
        return {}
    if not any(part.leader >= 0 for topic in topics.values() for part in topic.partitions.values()):
        return {}
    wanted = {row[3] for page in pages for row in page.sent}
    return find_unavailable(topics, wanted, known) or hearing.find_mute(pages[0], topics, known)
