"""Which rows of a page are published now, and where, while something is withheld."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count

from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.relay.reader import Row
from herald.outbox.relay.withheld import WHOLE, Part, Withheld

ANYWHERE = -1  # the producer chooses the partition by the key
Sent = list[tuple[Row, int]]


class Sieve:
    """Keeps back what belongs to a withheld part, and sends everything else of such a topic where it belongs.

    Keys are told apart by the number of partitions that the topic had then, even if it has more by now. A row without
    a key goes to each of the other partitions in turn.
    """

    def __init__(self, withheld: Sequence[Withheld]) -> None:
        parts = [one.part for one in withheld]
        self._whole = {part.topic: part for part in parts if part.partition == WHOLE}
        self._parts: dict[str, dict[int, Part]] = {}
        for part in parts:
            if part.partition != WHOLE:
                self._parts.setdefault(part.topic, {})[part.partition] = part
        self._turns = count()

    def sift(self, rows: Sequence[Row]) -> tuple[Sent, Mapping[Part, int]]:
        """Rows to be published with their partitions; how many of each part are kept back."""
        sent: Sent = []
        kept: Counter[Part] = Counter()
        for row in rows:
            part, partition = self._place(row)
            if part is None:
                sent.append((row, partition))
            else:
                kept[part] += 1
        return sent, kept

    def _place(self, row: Row) -> tuple[Part | None, int]:
        if (whole := self._whole.get(row[3])) is not None:
            return whole, ANYWHERE
        if (parts := self._parts.get(row[3])) is None:
            return None, ANYWHERE
        partitions = next(iter(parts.values())).partitions
        if row[4] is None:
            others = [number for number in range(partitions) if number not in parts]
            return None, others[next(self._turns) % len(others)]
        partition = partition_of(row[4].encode(), partitions)
        return parts.get(partition), partition
