"""Keeps children running: restarts what ends, and stops all in order.

Who had been ready for ten seconds and was killed starts again at once: its end says nothing against the next
start. Whoever ends otherwise backs off.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from herald.outbox.up.supervisor.child import Child, Role
from herald.outbox.up.supervisor.signals import Signals
from herald.outbox.up.supervisor.terminal import Terminal

FIRST_DELAY = 0.2  # seconds before the first restart
LONGEST_DELAY = 10.0  # seconds between restarts at most
HEALTHY = 10.0  # seconds a process must live to be forgiven its earlier ends, or be ready to be started at once
IDLE = 1.0  # seconds between two looks; SIGCHLD wakes us earlier
GRACE = 5.0  # seconds for a process that must start anew because another ended
TROUBLED = 5  # ends in a row, none of them after a healthy life, from which on readiness fails
LAST_LINES = 0.5  # seconds for the output of a process that ended


@dataclass
class Backoff:
    """How long to wait before the next start, given how long the last one lived; seconds."""

    delay: float = FIRST_DELAY

    def after(self, lived: float) -> float:
        """Return the wait, and double the next one."""
        if lived >= HEALTHY:
            self.delay = FIRST_DELAY
        wait, self.delay = self.delay, min(self.delay * 2, LONGEST_DELAY)
        return wait


@dataclass
class Member:
    """A role, and the child that plays it now."""

    role: Role
    child: Child | None = None
    started_at: float = 0.0
    ready_at: float = math.inf  # when it was first seen ready
    due_at: float = 0.0
    ends: int = 0  # how often it ended by itself
    in_a_row: int = 0  # of these, since it last lived well
    kill_at: float = math.inf  # when it was told to start anew and has not ended
    backoff: Backoff = field(default_factory=Backoff)


class Supervisor:
    """Restarts its members; `watch` is one pass, called again and again from the main thread."""

    def __init__(
        self, terminal: Terminal, clock: Callable[[], float] = time.monotonic, *, report: Path | None = None
    ) -> None:
        self.members: list[Member] = []
        self._report = report
        self._terminal = terminal
        self._clock = clock

    def start(self, role: Role) -> Member:
        """Start a role and keep it running from now on."""
        member = Member(role)
        self.members.append(member)
        self._launch(member)
        return member

    def watch(self) -> float:
        """Note who ended and start who is due; returns the seconds until there is something to do."""
        for member in self.members:
            self._note_ready(member)
            self._note_end(member)
            if member.child and member.kill_at <= self._clock():
                member.child.kill()
        for member in self.members:
            if member.child is None and member.due_at <= self._clock():
                self._launch(member)
        self._tell_readiness()
        waits = [member.due_at - self._clock() for member in self.members if member.child is None]
        return min([IDLE, *waits])

    def stop(self, signals: Signals) -> None:
        """Stop the last started first, each within its role's `stop_by` seconds from now; then nothing is left."""
        began = self._clock()
        for member in reversed(self.members):
            if member.child is None:
                continue
            member.child.ask_to_stop()
            self._await_end(member.child, began + member.role.stop_by, signals)
        self.members.clear()

    def _await_end(self, child: Child, deadline: float, signals: Signals) -> None:
        while child.poll() is None and not signals.hurry and self._clock() < deadline:
            signals.wait(min(deadline - self._clock(), 0.1))
        if child.poll() is None and not signals.hurry:
            self._terminal.complain(f"{child.role.name} did not stop in time and is killed")
        child.kill()  # also what it may have left in its session
        child.finish_output(LAST_LINES)

    def _tell_readiness(self) -> None:
        """Name the processes that keep ending in a file that the API's readiness looks at."""
        if self._report is None:
            return
        for member in self.members:
            if member.child and self._clock() - member.started_at >= HEALTHY:
                member.in_a_row = 0
        names = "\n".join(member.role.name for member in self.members if member.in_a_row >= TROUBLED)
        if not self._report.exists() or self._report.read_text() != names:
            self._report.write_text(names)

    def _launch(self, member: Member) -> None:
        member.started_at, member.ready_at, member.kill_at = self._clock(), math.inf, math.inf
        member.child = Child(member.role, self._terminal)

    def _note_ready(self, member: Member) -> None:
        if member.child and member.child.is_ready:
            member.ready_at = min(member.ready_at, self._clock())

    def _note_end(self, member: Member) -> None:
        child = member.child
        code = child.poll() if child else None
        if child is None or code is None:
            return
        child.kill()
        child.finish_output(LAST_LINES)
        lived = self._clock() - member.started_at
        was_ready, was_killed = self._clock() - member.ready_at >= HEALTHY, code < 0
        wait = member.backoff.after(lived)
        if was_ready and was_killed:
            wait, member.backoff = 0.0, Backoff()
        member.ends += 1
        member.in_a_row = 1 if lived >= HEALTHY else member.in_a_row + 1
        member.child, member.due_at = None, self._clock() + wait
        name, when = member.role.name, f"in {wait:.1f} s" if wait else "at once"
        self._terminal.complain(f"{name} ended ({describe(code)}) after {lived:.1f} s, again {when}")
        self._take_along(member.role.takes_along)

    def _take_along(self, names: tuple[str, ...]) -> None:
        for member in self.members:
            if member.role.name in names and member.child:
                member.child.ask_to_stop()
                member.kill_at = self._clock() + GRACE


def describe(code: int) -> str:
    """Say how a process ended, from Popen's return code."""
    return f"exit code {code}" if code >= 0 else f"signal {-code}"
