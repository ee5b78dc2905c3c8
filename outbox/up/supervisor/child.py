"""One child process: started on a leash in a session of its own, its output read line by line."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from threading import Thread
from typing import IO

from herald.outbox.up.supervisor import leash
from herald.outbox.up.supervisor.reading import event_of
from herald.outbox.up.supervisor.terminal import Terminal

LEASH = str(Path(leash.__file__))


@dataclass(frozen=True)
class Account:
    """An operating system account; -1 for both: whoever we are."""

    uid: int
    gid: int


def show_every_line(_line: str) -> bool:
    """Keep all that a process writes."""
    return True


@dataclass(frozen=True, kw_only=True)
class Role:
    """What to run, as whom, and how it wishes to end."""

    name: str
    command: list[str]
    env: Mapping[str, str]
    stop_by: float  # seconds after the shutdown began until it is killed
    account: Account | None = None  # None: who we are
    stop_signal: signal.Signals = signal.SIGTERM
    orphan_signal: signal.Signals = signal.SIGKILL  # sent by the kernel when `herald up` itself is killed
    takes_along: tuple[str, ...] = ()  # roles that must start anew when this one ended
    ready: frozenset[str] = frozenset()  # events of its log from any of which on it does its work; none: from its start
    shows: Callable[[str], bool] = field(default=show_every_line)


class Child:
    """A running process of a role; `returncode` follows Popen's: None while it runs, -N when signal N ended it."""

    def __init__(self, role: Role, terminal: Terminal) -> None:
        self.role = role
        self._process = subprocess.Popen(  # noqa: S603 - the commands are our own
            _on_leash(role),
            env=dict(role.env),
            cwd="/" if role.account else None,  # ours may be closed to that account
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the terminal's Ctrl-C is for us alone
            text=True,
            errors="replace",
        )
        self.pid = self._process.pid
        self.is_ready = not role.ready
        self._reader = Thread(target=self._read, args=(self._process.stdout, terminal), daemon=True)
        self._reader.start()

    def poll(self) -> int | None:
        """Return its exit code, or None while it runs."""
        return self._process.poll()

    def ask_to_stop(self) -> None:
        """Send the signal of an orderly end."""
        self._process.send_signal(self.role.stop_signal)

    def kill(self) -> None:
        """End it and all it started, now."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):  # gone; or, on macOS, a group of nothing but zombies
            return
        self._process.wait()

    def finish_output(self, seconds: float) -> None:
        """Let the last lines of an ended process be printed, for `seconds` at most."""
        self._reader.join(seconds)

    def _read(self, stream: IO[str], terminal: Terminal) -> None:
        with stream:
            for line in stream:
                text = line.rstrip()
                if not self.is_ready and event_of(text) in self.role.ready:
                    self.is_ready = True
                if text and self.role.shows(text):
                    terminal.line(self.role.name, text)


def _on_leash(role: Role) -> list[str]:
    account = role.account or Account(-1, -1)
    tie = [os.getpid(), int(role.orphan_signal), account.uid, account.gid]
    return [sys.executable, "-I", "-S", LEASH, *map(str, tie), *role.command]
