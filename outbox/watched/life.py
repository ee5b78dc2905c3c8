"""Whether a process lives: what it is red for, a restart mends.

Each thread that matters notes when it last came by. One that has something to do and does not come by is stuck; what it
waits for (a server that is away) is no fault of the process, up to the deadline that the wait has. A thread of this
room looks every second, so that who rests, or waits, does not look stuck when its work comes.
"""

import contextlib
import math
import threading
from collections.abc import Callable, Iterable, Iterator
from threading import get_ident
from time import monotonic

from herald.outbox.threads import Thread

LIMIT = 25.0  # seconds without a sign of life
LOOK = 1.0  # seconds between two looks
SUSPENDED = 5.0  # seconds between two looks from which on the whole process was not running
_never = threading.Event()
Judge = Callable[[float], Iterable[str]]  # what takes too long, where nothing before that moment counts


class Pulse:
    """Of one thread: when it came by, and after how many seconds it is stuck unless `is_idle` says that it rests."""

    def __init__(self, name: str, limit: float, is_idle: Callable[[], bool]) -> None:
        self.name = name
        self.limit = limit
        self.is_idle = is_idle
        self.at = monotonic()


class Life:
    """The threads of a process."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._pulses: dict[int, Pulse] = {}  # by the threads' idents
        self._dead: list[str] = []
        self._waiting: dict[int, float] = {}  # idents, and until when
        self._judges: list[Judge] = []
        self._judged: list[str] = []
        self._looked_at = math.inf
        self._runs_since = -math.inf

    @contextlib.contextmanager
    def living(
        self, name: str, *, limit: float = LIMIT, is_idle: Callable[[], bool] = lambda: False, may_fail: bool = False
    ) -> Iterator[None]:
        """The thread that calls it has to come by.

        An error that leaves the block ends it for good, unless it may fail: then others know what to do.
        """
        before = self._pulses.get(get_ident())
        self._pulses[get_ident()] = pulse = Pulse(name, limit, is_idle)
        pulse.at = self._clock()
        try:
            yield
        except BaseException:
            if not may_fail:
                self._dead.append(name)
            raise
        finally:
            self._pulses.pop(get_ident(), None)
            if before is not None:
                before.at = self._clock()
                self._pulses[get_ident()] = before

    @contextlib.contextmanager
    def judging(self, judge: Judge) -> Iterator[None]:
        """While the block runs what takes too long is found by this, in the thread that looks."""
        self._judges.append(judge)
        try:
            yield
        finally:
            self._judges.remove(judge)

    def came_by(self) -> None:
        """The thread that calls it is not stuck."""
        if (pulse := self._pulses.get(get_ident())) is not None:
            pulse.at = self._clock()

    @contextlib.contextmanager
    def waiting(self, seconds: float = math.inf) -> Iterator[None]:
        """The thread that calls it waits for somebody else, so many seconds at most: from then on it may be stuck."""
        ident = get_ident()
        if ident in self._waiting:
            yield
            return
        self._waiting[ident] = self._clock() + seconds
        try:
            yield
        finally:
            del self._waiting[ident]
            self.came_by()

    def is_waiting(self, thread: threading.Thread) -> bool:
        """Whether that thread does, and may."""
        return self._may_wait(thread.ident or 0, self._clock())

    def watch(self) -> None:
        """Look from now on, in a thread."""
        if self._looked_at == math.inf:
            self._looked_at = self._clock()
            Thread(self._run, "life").start()

    def look(self) -> None:
        """Note who rests, or waits. After a time in which nothing ran nobody is judged."""
        now = self._clock()
        was_suspended, self._looked_at = now - self._looked_at > SUSPENDED, now
        if was_suspended:
            self._runs_since = now
        for ident, pulse in list(self._pulses.items()):
            if was_suspended or self._may_wait(ident, now) or pulse.is_idle():
                pulse.at = now
        self._judged = [found for judge in list(self._judges) for found in judge(self._runs_since)]

    def stuck(self) -> list[str]:
        """The threads that have ended by an error, or do not come by; without a look nobody is judged."""
        if self._looked_at == math.inf:
            return []
        now = self._clock()
        silent = [pulse.name for pulse in list(self._pulses.values()) if now - pulse.at > pulse.limit]
        return [*self._dead, *silent, *self._judged, *(["life"] if now - self._looked_at > LIMIT else [])]

    def _may_wait(self, ident: int, now: float) -> bool:
        return now <= self._waiting.get(ident, -math.inf)

    def _run(self) -> None:
        while True:
            _never.wait(LOOK)
            self.look()


LIFE = Life()
living, came_by, waiting, judging = LIFE.living, LIFE.came_by, LIFE.waiting, LIFE.judging
