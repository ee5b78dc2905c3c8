"""Who has a connection, and since when each has kept this server waiting.

A connection is in `waiting` while it is its client's turn: it has sent nothing yet, or not all of a request, or has
had its answer. Twice a second those are looked at whose time is over. Where all connections are taken, the one that
has waited longest makes room, so that good clients are served while others hold connections open.
"""

import asyncio
import resource
from typing import Protocol

import structlog

from herald.api.http.refusals import Refusals
from herald.api.http.resources import Budget
from herald.api.http.totals import Total
from herald.outbox.settings import Settings

BACKLOG = 256  # connections that the kernel holds until they are accepted; all of them may be at once
OWN_FILES = 64  # descriptors for logs, the event loop, and a server that is away; the pools come on top
FREE_BODY = 65_536  # bytes of a body that are not counted: that many are read before anybody asks for them
MOST_PIPELINED = 16  # requests that may wait on a connection behind one that is being answered
LAST_REQUEST = 1.0  # seconds that a resting connection of a server that ends has for a request that is on its way
LINGER = 2.0  # seconds that a refused client gets to read why
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

    def shutdown(self) -> None:
        """The server ends."""


class Door:
    """One per process; `total` counts the connections of all processes of the port."""

    def __init__(
        self, settings: Settings, budget: Budget, total: Total | None = None, refusals: Refusals | None = None
    ) -> None:
        self.settings = settings
        self.connections = most_connections(settings)
        self.body_bytes = max(settings.max_body, settings.max_bulk_body)
        self.budget = budget
        self.refusals = refusals or Refusals()
        self.waiting: dict[Guest, float] = {}  # in the order of these dates: by the event loop's clock
        self.is_closing = False  # the server ends: each answer is the last of its connection
        self._total = total or Total()
        self._share = max(1, settings.max_connections // self._total.processes)
        self._watch: asyncio.TimerHandle | None = None

    def enter(self, guest: Guest, taken: int, loop: asyncio.AbstractEventLoop) -> None:
        """A new connection, one of `taken` here; it gets the place of another where there is no more.

        Each process always has its share of the port's places: who has more gives some back at its next look.
        """
        self._total.own = taken
        if taken > self.connections or (taken > self._share and self._excess > 0):
            longest = next(iter(self.waiting), None)
            if longest is None:
                guest.turn_away()
                return
            del self.waiting[longest]
            longest.make_room()
        self.waiting[guest] = loop.time()
        if self._watch is None:
            self._watch = loop.call_later(LOOK, self._look, loop)
        if self.is_closing:
            guest.shutdown()

    def leave(self, guest: Guest, taken: int) -> None:
        """A connection has ended; `taken` are left here."""
        self._total.own = taken
        self.waiting.pop(guest, None)

    @property
    def _excess(self) -> int:
        return self._total.all - self.settings.max_connections

    def _look(self, loop: asyncio.AbstractEventLoop) -> None:
        self._watch = loop.call_later(LOOK, self._look, loop)
        now = loop.time()
        for guest in list(self.waiting)[: max(0, min(self._excess, self._total.own - self._share))]:
            del self.waiting[guest]
            guest.make_room()
        for guest, since in list(self.waiting.items()):
            try:
                guest.end_if_late(now, since)
            except Exception:  # noqa: BLE001 - one that fails leaves the others their limits
                _log.exception("guest_not_ended")
        self.refusals.report(now)


def most_connections(settings: Settings) -> int:
    """As the settings say; fewer, where the system lets this process open too few files."""
    reserve = OWN_FILES + BACKLOG + settings.pool_size
    wanted = settings.max_connections
    files = _open_files(wanted + reserve)
    possible = wanted if files == resource.RLIM_INFINITY else min(wanted, files - reserve)
    if possible < wanted:
        possible = max(1, possible)
        _log.warning("fewer_connections", connections=possible, wanted=wanted, open_files=files, reserved=reserve)
    return possible


def _open_files(needed: int) -> int:
    """The soft limit, raised as far as the process may and needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return soft
    raised = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised
