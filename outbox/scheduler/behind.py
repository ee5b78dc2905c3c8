"""What lies behind the group, by topic and partition.

A page (a row of `relay_pages`) says: all that this snapshot shows was published below these ends. Where the group has
read a partition up to the noted end, whatever of that partition the snapshot shows was read. Each partition counts for
itself: one that is idle, without a leader or not told holds up nobody else's search.
"""

from collections.abc import Iterable
from typing import NamedTuple

from herald.outbox.kafka.offsets import Offsets
from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.postgres.snapshot import NOTHING, Snapshot
from herald.outbox.scheduler.widths import Widths


class Page(NamedTuple):
    """A row of `relay_pages`; a partition that its ends do not name counts for nothing in it."""

    epoch: int
    snapshot: str
    end_offsets: Offsets


class Standing(NamedTuple):
    """How far the group has read, and where the partitions end; those that did not answer are left out.

    `read` is what it has committed, or where the partition begins now if that is higher: what Kafka has removed,
    nobody will read. What it has committed beyond the end is of a log that Kafka has lost: it begins anew.
    """

    read: Offsets
    ends: Offsets


def standing_of(committed: Offsets, first: Offsets, ends: Offsets) -> Standing:
    """Where the group stands in every partition whose beginning and end are known."""
    read = {
        topic: {
            number: _read(committed.get(topic, {}).get(number, 0), begin, ends[topic][number])
            for number, begin in numbers.items()
            if number in ends.get(topic, {})
        }
        for topic, numbers in first.items()
    }
    return Standing(read, ends)


def _read(committed: int, begin: int, end: int) -> int:
    """A consumer whose offset is beyond the end begins at the beginning (auto.offset.reset)."""
    return begin if committed > end else max(committed, begin)


class Behind:
    """What the group has passed, by the newest page for each partition, and for each topic as a whole.

    `widths`: how many partitions a topic has, and from which snapshot on it has had them. Topics that are not in it
    are left alone.
    """

    def __init__(self, pages: Iterable[Page], standing: Standing, widths: Widths) -> None:
        self._widths = widths
        self._passed: dict[tuple[str, str], tuple[int, Snapshot]] = {}
        self._whole: dict[str, tuple[int, Snapshot]] = {}
        for page in sorted(pages, reverse=True):
            self._look(page, standing)

    def _look(self, page: Page, standing: Standing) -> None:
        snapshot = Snapshot(page.snapshot)
        for topic, width in self._widths.items():
            passed = passed_in(page, topic, standing)
            for number in passed:
                self._passed.setdefault((topic, number), (page.epoch, snapshot))
            if len(passed) >= width.partitions:
                self._whole.setdefault(topic, (page.epoch, snapshot))

    @property
    def newest(self) -> str:
        """A snapshot that shows whatever has been passed anywhere."""
        return max(self._passed.values(), key=_epoch, default=(0, Snapshot(NOTHING)))[1].text

    @property
    def oldest_needed(self) -> int | None:
        """The epoch below which no page is needed any more; None while some partition has passed none."""
        places = [(topic, str(number)) for topic, width in self._widths.items() for number in range(width.partitions)]
        if not all(place in self._passed for place in places) or self._whole.keys() != self._widths.keys():
            return None
        return min((epoch for epoch, _ in (*self._passed.values(), *self._whole.values())), default=None)

    def has(self, topic: str, key: str | None, requested_in: int) -> bool:
        """Whether the group has passed the record of what was requested then.

        A record without a key may be in any partition, and so may one from before their number changed.
        """
        if topic in self._whole and self._whole[topic][1].shows(requested_in):
            return True
        width = self._widths.get(topic)
        if key is None or width is None or width.may_be_elsewhere(requested_in):
            return False
        place = topic, str(partition_of(key.encode(), width.partitions))
        return place in self._passed and self._passed[place][1].shows(requested_in)


def _epoch(passed: tuple[int, Snapshot]) -> int:
    return passed[0]


def passed_in(page: Page, topic: str, standing: Standing) -> list[str]:
    """The partitions of the topic that the group has read up to the page's end, or to where they end now.

    What stood above where a partition ends now was lost, and comes from nowhere: it would count as unread until the
    partition is as long as it was.
    """
    read, ends = standing.read.get(topic, {}), standing.ends.get(topic, {})
    return [
        number
        for number, end in page.end_offsets.get(topic, {}).items()
        if number in read and read[number] >= min(end, ends[number])
    ]
