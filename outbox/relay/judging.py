"""Whose fault it is that Kafka refuses a record, and how many rows of the log may end, or be set aside, for that.

Kafka refuses a record for its size or for a policy, and both are settings of the topic that anybody may change for an
hour. It is the record's fault where the same topic takes others, from the same producer. Where the topic takes none,
the topic is withheld: an outage of its own. Above 20 a minute for one reason records are set aside instead of ended.
"""

import threading
from collections import Counter
from collections.abc import Callable, Collection
from time import monotonic
from typing import Literal

from herald.outbox.postgres.conviction import Convictions
from herald.outbox.relay.errors import WithheldError
from herald.outbox.relay.in_flight import InFlight
from herald.outbox.relay.withheld import WHOLE, Part

Sentence = Literal["ends", "set aside", "waits"]
SCOUT = 60.0  # seconds for which a topic takes nothing, until one row of it is set aside; and between two such rows


class Judge:
    """One per process, for all its terms: asked from several threads. `clock` in seconds.

    `unreadable` counts rows that are set aside because the server could not read them.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._ended = Convictions(clock)
        self._next_scout: dict[str, float] = {}
        self.unreadable = Convictions(clock)

    def note_taking(self, topic: str) -> None:
        """The topic takes records: should it stop, a whole minute goes by until one is set aside."""
        with self._lock:
            self._next_scout.pop(topic, None)

    def sentence(self, topic: str, reason: str, *, takes_others: bool, is_alone: bool) -> Sentence:
        """What becomes of a record that Kafka refused for this reason, `is_alone` where it refused no other beside it.

        One that is alone may be all that is wrong: where its topic goes on taking nothing it is set aside, one a
        minute, so that what comes behind it is tried.
        """
        with self._lock:
            if takes_others:
                return "ends" if self._ended.allows(reason) else "set aside"
            now = self._clock()
            if not is_alone:
                return "waits"
            if now < self._next_scout.setdefault(topic, now + SCOUT):
                return "waits"
            self._next_scout[topic] = now + SCOUT
            return "set aside"


def judge_page(judge: Judge | None, page: InFlight, taking: Collection[str]) -> None:
    """Say what becomes of what a broker refused of it; without a judge it ends. `taking`: topics that take records.

    Raises WithheldError where a topic takes nothing else.
    """
    waiting: dict[Part, str] = {}
    accused = Counter(row[3] for row, _ in page.accused)
    for row, why in page.accused:
        topic, sentence = row[3], "ends"
        if judge is not None:
            takes_others, is_alone = topic in taking, accused[topic] == 1
            sentence = judge.sentence(topic, why, takes_others=takes_others, is_alone=is_alone)
        if sentence == "waits":
            waiting[Part(topic, WHOLE, 0)] = why
        else:
            (page.refused if sentence == "ends" else page.aside).append((row, why))
    if waiting:
        raise WithheldError(waiting)
