"""What is published ahead of the pipeline is bounded: for each key, and for what was asked for among many.

Kafka hands over a partition's records in their order: behind a hundred thousand of one key everybody else would wait.
So the relay remembers of each key, and of each topic, a message that it published a while ago, the mark. Where it has
published so many since, it asks where the mark stands: more follow only when it is over, and are held until then
(outbox/moves/hold.py). While nobody publishes much, nothing is asked.

Of a key that has something in line nothing is published past it: records keep the order of the log. The order of
attempts does not rest on this, it is the claim's to keep. A relay that begins anew publishes a few more, and asks after
lines until there have been none for a while.
"""

from collections import Counter
from collections.abc import Callable, Container, Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from time import monotonic

import structlog

from herald.outbox.message.events import Requested
from herald.outbox.moves.hold import hold
from herald.outbox.postgres.conviction import is_away, text_of
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_column, fetch_value
from herald.outbox.relay.reader import Row

OF_A_KEY = 100  # published since the mark; more of the key wait in line until it is over
OF_A_TOPIC = 200  # the same of a topic, at first; what was asked for among many waits in line until it is claimed
CLAIMED = 0.3  # seconds: where that takes longer, half as many of a topic; where it does not, twice as many
LEAST, MOST = 50, 1_000  # of a topic, whatever it takes
HALVED = 10.0  # seconds after which half of what is remembered counts no longer
NO_LINES = 10.0  # seconds without any line after which nobody asks for one
LOOK = 1.0  # seconds between two looks whether there is one
MOST_KEYS = 50_000  # remembered at once
Place = tuple[str, str | None]  # topic and key; None is the topic as a whole

# A topic's is over when it is claimed.
_NOT_OVER = """
SELECT place FROM unnest(%(marks)s::uuid[], %(whole)s::boolean[]) WITH ORDINALITY AS asked(mark, is_topic, place)
WHERE EXISTS (
    SELECT FROM messages AS m
    WHERE m.id = mark AND (m.status = 'pending' OR NOT is_topic AND m.status IN ('sending', 'scheduled')))
"""
# What was never claimed, nor published perhaps; also one that had its turn: its record may come later.
_IN_LINE = """
SELECT place FROM unnest(%(topics)s::text[], %(keys)s::text[]) WITH ORDINALITY AS asked(topic, key, place)
WHERE EXISTS (
    SELECT FROM waiting AS w WHERE w.topic = asked.topic AND w.key = asked.key
        AND w.destination IS NULL AND (w.line IS NOT NULL OR w.due_at IS NULL))
"""
_ANY_LINE = "SELECT EXISTS (SELECT FROM waiting WHERE line IS NOT NULL AND destination IS NULL)"
_log = structlog.get_logger()


@dataclass(slots=True)
class _Published:
    """`count`: since the mark, and with it; `at`: when that was."""

    count: int
    mark: str
    at: float


@dataclass
class Fairness:
    """Used by the thread that reads pages; `clock` gives seconds."""

    clock: Callable[[], float] = monotonic
    _published: dict[Place, _Published] = field(default_factory=dict, init=False)
    _of_topics: dict[str, int] = field(default_factory=dict, init=False)
    _halved_at: float = field(default=0.0, init=False)
    _asks_until: float = field(default=float("inf"), init=False)
    _looked_at: float = field(default=float("-inf"), init=False)

    def publishable(self, connection: Connection, rows: list[Row]) -> list[Row]:
        """These without those that wait in line from now on. Raises what ends the session."""
        first = [row for row in rows if row[7] == "1" and row[2] == Requested.TYPE]
        room = self._room(connection, *self._counted(first)) if first else {}
        chosen = list(_beyond(first, room)) if room else []
        if not chosen:
            return rows
        try:
            held = hold(connection, [row[0] for row, _ in chosen], [is_crowded for _, is_crowded in chosen])
        except Exception as error:
            if is_away(error):
                raise
            _log.warning("nothing_held", reason=text_of(error), consequence="all of it is published", exc_info=error)
            return rows
        if held:
            self._asks_until = float("inf")
        left = {id(row) for row, _ in chosen if row[0] in held}
        self._set_back(first, left)
        return [row for row in rows if id(row) not in left]

    def _counted(self, first: Sequence[Row]) -> tuple[dict[Place, int], dict[Place, str]]:
        """How many of each come with this page, remembered with what came before; and the last of each."""
        self._halve()
        counts = dict(Counter(map(_place, first)))
        last = dict(zip(map(_place, first), map(_message, first), strict=True))
        counts |= {(topic, None): count for topic, count in Counter(row[3] for row in first).items()}
        last |= {(row[3], None): row[0] for row in first}
        published, now = self._published, self.clock()
        for place, count in counts.items():
            known = published.get(place)
            if known is None:
                published[place] = _Published(count, last[place], now)
            else:
                known.count += count
        return counts, last

    def _room(self, connection: Connection, counts: dict[Place, int], last: dict[Place, str]) -> dict[Place, int]:
        """Where no more than so many of this page may be published."""
        suspects = [place for place in counts if self._published[place].count > self._most(place)]
        lined_up = dict.fromkeys(self._in_line(connection, [place for place in counts if place[1] is not None]), 0)
        if not suspects:
            return lined_up
        marks = [self._published[place].mark for place in suspects]
        values = {"marks": marks, "whole": [key is None for _, key in suspects]}
        waited_for = {suspects[number - 1] for number in fetch_column(connection, _NOT_OVER, values)}
        for place in suspects:
            self._adapt(place, is_over=place not in waited_for)
            if place not in waited_for:
                self._published[place] = _Published(counts[place], last[place], self.clock())
        room = {place: self._most(place) - self._published[place].count + counts[place] for place in suspects}
        return {place: max(0, left) for place, left in room.items() if left < counts[place]} | lined_up

    def _most(self, place: Place) -> int:
        return OF_A_KEY if place[1] is not None else self._of_topics.get(place[0], OF_A_TOPIC)

    def _adapt(self, place: Place, *, is_over: bool) -> None:
        """How many of a topic are claimed in CLAIMED seconds, about."""
        known, most = self._published[place], self._most(place)
        is_slow = self.clock() - known.at > CLAIMED
        if place[1] is None and is_over != is_slow:
            self._of_topics[place[0]] = min(MOST, 2 * most) if is_over else max(LEAST, most // 2)
            known.at = self.clock()

    def _in_line(self, connection: Connection, keys: Sequence[Place]) -> list[Place]:
        """Those that have something in line, or published later than this page."""
        now = self.clock()
        if now > self._asks_until:
            return []
        if now - self._looked_at >= LOOK:
            self._looked_at = now
            if fetch_value(connection, _ANY_LINE):
                self._asks_until = float("inf")
            elif self._asks_until == float("inf"):
                self._asks_until = now + NO_LINES
        values = {"topics": [topic for topic, _ in keys], "keys": [key for _, key in keys]}
        return [keys[number - 1] for number in fetch_column(connection, _IN_LINE, values)]

    def _set_back(self, first: Sequence[Row], left: Container[int]) -> None:
        """What is held counts for nothing; the mark is the last that is published."""
        for row in first:
            for place in _places(row):
                if id(row) in left:
                    self._published[place].count -= 1
                else:
                    self._published[place].mark, self._published[place].at = row[0], self.clock()

    def _halve(self) -> None:
        if self.clock() - self._halved_at < HALVED and len(self._published) < MOST_KEYS:
            return
        self._halved_at = self.clock()
        for known in self._published.values():
            known.count //= 2
        self._published = {place: known for place, known in self._published.items() if known.count}


_place: Callable[[Row], Place] = itemgetter(3, 4)
_message: Callable[[Row], str] = itemgetter(0)


def _places(row: Row) -> tuple[Place, ...]:
    return ((row[3], None),) if row[4] is None else ((row[3], row[4]), (row[3], None))


def _beyond(first: Sequence[Row], room: dict[Place, int]) -> Iterator[tuple[Row, bool]]:
    """The rows for which there is no room, and whether it is their key that is crowded."""
    for row in first:
        for place in _places(row):
            if place in room:
                room[place] -= 1
                if room[place] < 0:
                    yield row, place[1] is not None
                    break
