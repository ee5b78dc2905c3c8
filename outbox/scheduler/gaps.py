"""Offsets at the end of a partition that hold nothing to read: control records of transactions, and aborted data.

No group ever commits beyond them, so that a partition would count as unread for ever. Only reading shows that nothing
is there: from where the group stands, as the pipeline reads. Where the end is reached without a record, all up to it
counts as read. An open transaction hides what stands behind its beginning from every such reader; there the end that
is told is that beginning, and what stands behind it goes on waiting.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from time import monotonic

from confluent_kafka import Consumer, Message

from herald.outbox.kafka.clients import abandon, librdkafka, own_code
from herald.outbox.kafka.offsets import Offsets
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.settings import Settings

PATIENCE = 5.0  # seconds for all of a look; what has not answered by then is asked at the next one
POLL = 0.2  # seconds
BATCH = 100  # records
GROUP = "herald-gaps"  # librdkafka wants a name; nothing joins it and nothing is committed
CONSUMER = {
    "group.id": GROUP,
    "enable.auto.commit": False,
    "enable.partition.eof": True,
    "isolation.level": "read_committed",  # librdkafka's default, and so the pipeline's
    "auto.offset.reset": "error",
    "queued.max.messages.kbytes": 1_024,  # of what was fetched ahead: it is asked for one record
}

Place = tuple[str, str]  # topic and partition


@dataclass(slots=True)
class Stretch:
    """What was found behind the offset `begin`, at which the group stands: nothing to read below `reached`."""

    begin: int
    reached: int
    holds_record: bool = False


class Gaps:
    """Remembers what was found as long as the group stands where it stood; used by one thread.

    A partition is looked at once it stands still: at the second look that finds it at the same offset below an end.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._stretches: dict[Place, Stretch] = {}

    def pass_over(self, read: Offsets, wanted: Mapping[Place, int]) -> Offsets:
        """How far the group has read, where offsets that hold nothing count as read.

        `wanted`: up to where a partition should be read. Takes some seconds at most.
        """
        still = {}
        for (topic, number), end in wanted.items():
            known, begin = self._stretches.get((topic, number)), read[topic][number]
            if known is None or known.begin != begin:
                self._stretches[topic, number] = Stretch(begin, begin)
            elif known.reached < end and not known.holds_record:
                still[topic, number] = known
        self._look(still)
        return {
            topic: {number: self._reached((topic, number), offset) for number, offset in numbers.items()}
            for topic, numbers in read.items()
        }

    def _reached(self, place: Place, offset: int) -> int:
        known = self._stretches.get(place)
        return known.reached if known is not None and known.begin == offset else offset

    def _look(self, still: dict[Place, Stretch]) -> None:
        if not still:
            return
        left, topics = dict(still), TopicNames(self._settings.topic_prefix)
        consumer = Consumer({**librdkafka(self._settings), **CONSUMER})
        abandon(consumer)
        consumer.assign([topics.place(topic, int(number), one.reached) for (topic, number), one in left.items()])
        for message in _answers(consumer):
            stretch = left.pop((topics.here(str(message.topic())), str(message.partition())), None)
            if stretch is not None:
                _learn(stretch, message)
            if not left:
                break
        consumer.unassign()


def _answers(consumer: Consumer) -> Iterator[Message]:
    deadline = monotonic() + PATIENCE
    while monotonic() < deadline:
        yield from consumer.consume(BATCH, POLL)


def _learn(stretch: Stretch, message: Message) -> None:
    """The first that comes of a partition is a record, its end, or an error, which says nothing."""
    error = message.error()
    if error is None or error.code() == own_code("PARTITION_EOF"):
        stretch.reached = max(stretch.reached, message.offset() or 0)
        stretch.holds_record = error is None
