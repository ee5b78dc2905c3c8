"""Keeps children running: restarts what ends, and stops all in order."""

import math
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from subprocess import PIPE
from threading import Thread
from typing import Any, Self

from herald.outbox.logs import AS_SET, MORE
from herald.outbox.restarts import HEALTHY, Restarts, describe
from herald.outbox.up.child import OURS, Account, Child
from herald.outbox.up.terminal import Terminal, record_of

GRACE = 5.0  # seconds for a process that must start anew because another ended
TROUBLED = 5  # ends in a row, none of them after a healthy life, from which on readiness fails
LAST_LINES = 0.5  # seconds for the output of a process that ended


class StopRequestedError(Exception):
    """A person asked to stop, while something was waited for."""


class Signals:
    """A person's requests to stop, counted: a handler that did more could not interrupt whatever is going on."""

    def __init__(self) -> None:
        self.requests = 0
        self.level = AS_SET  # how much is logged
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self._previous[number] = signal.signal(number, self._count)
        for number in (MORE, AS_SET):
            self._previous[number] = signal.signal(number, self._set_level)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    @property
    def hurry(self) -> bool:
        """A person asked twice: no more waiting for anyone."""
        return self.requests > 1

    def wait(self, seconds: float) -> None:
        """Sleep. Raises StopRequestedError once a person asked to stop."""
        if not self.requests:
            time.sleep(seconds)
        if self.requests:
            raise StopRequestedError

    def _count(self, *_: object) -> None:
        self.requests += 1

    def _set_level(self, number: int, _frame: object) -> None:
        self.level = signal.Signals(number)


@dataclass(frozen=True, kw_only=True)
class Role:
    """What to run, as whom, and how it wishes to end."""

    name: str
    command: list[str]
    stop_by: float  # seconds after the shutdown began until it is killed
    env: Mapping[str, str] | None = None  # None: ours
    account: Account = OURS
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL
    takes_along: tuple[str, ...] = ()  # roles that must start anew when this one ended
    ready: frozenset[str] = frozenset()  # events of its log from any of which on it does its work; none: from its start
    shows: Callable[[str], bool] = bool  # which lines


class Player(Child):
    """A child that plays a role, its output told line by line; moments by `clock`."""

    def __init__(self, role: Role, terminal: Terminal, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(
            role.command, output=PIPE, env=role.env, account=role.account, orphan_signal=role.orphan_signal
        )
        self.started_at = clock()
        self.ready_at = math.inf if role.ready else self.started_at
        self.kill_at = math.inf  # where it was told to start anew
        self._level = AS_SET
        self._reader = Thread(target=self._read, args=(role, terminal, clock), daemon=True)
        self._reader.start()

    def follow(self, level: signal.Signals) -> None:
        """Have it log that much, once it is ready: before that the signal might end it."""
        if self.ready_at < math.inf and level != self._level:
            self._level = level
            self.process.send_signal(level)

    def kill(self) -> None:
        """End it and what it may have left in its session; its last lines are told."""
        super().kill()
        self._reader.join(LAST_LINES)

    def _read(self, role: Role, terminal: Terminal, clock: Callable[[], float]) -> None:
        with self.process.stdout or nullcontext(()) as lines:
            for text in map(str.rstrip, lines):
                if self.ready_at == math.inf and str(record_of(text).get("event")) in role.ready:
                    self.ready_at = clock()
                if role.shows(text):
                    terminal.line(role.name, text)


class Member(Restarts):
    """A role, and the child that plays it now."""

    def __init__(self, role: Role, child: Player | None = None) -> None:
        super().__init__()
        self.role = role
        self.child = child


class Supervisor:
    """Restarts its members; `watch` is one pass, called again and again from the main thread."""

    def __init__(
        self, terminal: Terminal, clock: Callable[[], float] = time.monotonic, *, report: Path | None = None
    ) -> None:
        self.members: list[Member] = []
        self.level = AS_SET  # how much Herald's own processes log
        self._report = report
        self._terminal = terminal
        self._clock = clock

    def start(self, role: Role) -> Member:
        """Start a role and keep it running from now on."""
        member = Member(role, Player(role, self._terminal, self._clock))
        self.members.append(member)
        return member

    def watch(self) -> None:
        """Note who ended, and start who is due."""
        for member in self.members:
            if member.child:
                self._look_at(member, member.child)
            if member.child is None and member.due_at <= self._clock():
                member.child = Player(member.role, self._terminal, self._clock)
        self._tell_readiness()

    def stop(self, signals: Signals) -> None:
        """Stop the last started first, each within its role's `stop_by` seconds from now; then nothing is left."""
        began = self._clock()
        for role, child in ((member.role, member.child) for member in reversed(self.members)):
            left = began + role.stop_by - self._clock()
            if child and not child.stop(role.stop_signal, left, hurry=lambda: signals.hurry):
                self._terminal.complain(f"{role.name} did not stop in time and was killed")
        self.members.clear()

    def _look_at(self, member: Member, child: Player) -> None:
        now, code = self._clock(), child.code
        if code is None:
            if child.kill_at <= now:
                child.kill()
            elif member.role.ready:
                child.follow(self.level)
            return
        child.kill()
        wait = member.note_end(now, code=code, started_at=child.started_at, ready_at=child.ready_at)
        member.child, lived = None, now - child.started_at
        when = f"in {wait:.1f} s" if wait else "at once"
        self._terminal.complain(f"{member.role.name} ended ({describe(code)}) after {lived:.1f} s, again {when}")
        for other in self.members:
            if other.child and other.role.name in member.role.takes_along:
                other.child.process.send_signal(other.role.stop_signal)
                other.child.kill_at = now + GRACE

    def _tell_readiness(self) -> None:
        """Name the processes that keep ending in a file that the API's readiness looks at."""
        if self._report is None:
            return
        for member in self.members:
            if member.child and self._clock() - member.child.started_at >= HEALTHY:
                member.in_a_row = 0
        names = "\n".join(member.role.name for member in self.members if member.in_a_row >= TROUBLED)
        if not self._report.exists() or self._report.read_text() != names:
            self._report.write_text(names)
