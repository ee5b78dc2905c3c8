"""Who has a connection, and since when each has kept this server waiting.

A connection is in `waiting` while it is its client's turn: it has sent nothing yet, or not all of a request, or has
had its answer. Twice a second those are looked at whose time is over. Where all connections are taken, the one that
has waited longest makes room, so that good clients are served while others hold connections open.
"""

import asyncio
from typing import Protocol

import structlog

from herald.api.http.budget import Budget
from herald.api.http.limits import Limits
from herald.api.http.refusals import Refusals

LOOK = 0.5  # seconds between two looks
_log = structlog.get_logger()


class Guest(Protocol):
    """A connection as the door sees it."""

    def end_if_late(self, now: float, since: float) -> None:
        """Its client has kept this server waiting since then."""

    def make_room(self) -> None:
        """Another needs its place."""

    def turn_away(self) -> None:
        """There is no place for it."""


class Door:
    """One per process."""

    def __init__(self, limits: Limits, budget: Budget) -> None:
        self.limits = limits
        self.budget = budget
        self.refusals = Refusals()
        self.waiting: dict[Guest, float] = {}  # in the order of these dates: by the event loop's clock
        self._watch: asyncio.TimerHandle | None = None

    def enter(self, guest: Guest, taken: int, loop: asyncio.AbstractEventLoop) -> None:
        """A new connection, one of `taken`; it gets the place of another where there is no more."""
        if taken > self.limits.connections:
            longest = next(iter(self.waiting), None)
            if longest is None:
                guest.turn_away()
                return
            del self.waiting[longest]
            longest.make_room()
        self.waiting[guest] = loop.time()
        if self._watch is None:
            self._watch = loop.call_later(LOOK, self._look, loop)

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watch = loop.call_later(LOOK, self._look, loop)
        now = loop.time()
        for guest, since in list(self.waiting.items()):
            try:
                guest.end_if_late(now, since)
            except Exception:  # noqa: BLE001 - one that fails leaves the others their limits
                _log.exception("guest_not_ended")
        self.refusals.report(now)
