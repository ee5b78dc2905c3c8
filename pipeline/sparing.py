"""Lines of the log that would repeat themselves."""

from collections.abc import Callable, Hashable
from time import monotonic


class OncePer:
    """Lets one of a kind pass in so many seconds, as `clock` gives them."""

    def __init__(self, seconds: float, clock: Callable[[], float] = monotonic) -> None:
        self._seconds = seconds
        self._clock = clock
        self._until: dict[Hashable, float] = {}

    def allows(self, kind: Hashable = None) -> bool:
        now = self._clock()
        if now < self._until.get(kind, now):
            return False
        self._until[kind] = now + self._seconds
        return True
