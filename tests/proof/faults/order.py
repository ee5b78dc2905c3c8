"""Order judged by real time: what was requested after an answer must come after what was answered."""

from bisect import bisect_left
from collections.abc import Iterable
from itertools import accumulate
from typing import Any, NamedTuple


class Place(NamedTuple):
    """A request's interval in real time, and where it came: an offset, a date, a moment; of one key comparable."""

    key: str
    sent: float
    answered: float
    at: Any
    number: int


class Judged(NamedTuple):
    """How many pairs were ordered in real time; each that overtook one before it, with the last of those."""

    pairs: int
    overtaking: list[tuple[int, int]]


def judge_order(places: Iterable[Place]) -> Judged:
    """Compare each with all of its key that were answered before it was sent; those that overlap are not judged."""
    by_key: dict[str, list[Place]] = {}
    for place in places:
        by_key.setdefault(place.key, []).append(place)
    judged = [_judge_key(found) for found in by_key.values()]
    return Judged(sum(one.pairs for one in judged), sorted(pair for one in judged for pair in one.overtaking))


def _judge_key(places: list[Place]) -> Judged:
    places = sorted(places, key=lambda place: place.answered)
    answered = [place.answered for place in places]
    latest = list(accumulate(places, _later))
    before = [(place, bisect_left(answered, place.sent)) for place in places]
    overtaking = [
        (place.number, latest[count - 1].number) for place, count in before if count and place.at < latest[count - 1].at
    ]
    return Judged(sum(count for _, count in before), overtaking)


def _later(one: Place, other: Place) -> Place:
    return other if other.at > one.at else one
