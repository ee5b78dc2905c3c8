"""A child process: on a leash, so that it never outlives us, and in a session of its own: Ctrl-C is ours alone."""

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple

LEASH = Path(__file__).with_name("leash.py")
LOOK = 0.02  # seconds between two looks


class StartError(Exception):
    """Something cannot be started; the text says what to change, or what was said."""


class Account(NamedTuple):
    """Whom a process runs as."""

    uid: int
    gid: int


OURS = Account(os.geteuid(), os.getegid())


class Child:
    """Start it from a thread that outlives it: on Linux the kernel ends it with that thread.

    `output` is what Popen takes; `orphan_signal` is what the kernel sends when we end.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        output: int | IO[Any],
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: Account = OURS,
        orphan_signal: signal.Signals = signal.SIGKILL,
    ) -> None:
        tie = (os.getpid(), int(orphan_signal), *account)
        program = shutil.which(command[0]) or command[0]  # the leash does not search
        self.process = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LEASH), *map(str, tie), program, *command[1:]],
            env=env,
            cwd=cwd or (None if account == OURS else "/"),  # ours may be closed to that account
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            text=True,
            errors="replace",
        )
        self.pid = self.process.pid

    @property
    def code(self) -> int | None:
        """None while it runs, -N when signal N ended it."""
        return self.process.poll()

    def stop(self, by: signal.Signals, within: float, hurry: Callable[[], bool] = lambda: False) -> bool:
        """Ask it to end, and kill it after so many seconds, or once there is `hurry`; False where the time ran out."""
        self.process.send_signal(by)
        in_time = until(lambda: self.code is not None or hurry(), within)
        self.kill()
        return in_time

    def kill(self) -> None:
        """End it and all that it started, now."""
        with suppress(ProcessLookupError, PermissionError):  # gone; or, on macOS, a group of nothing but zombies
            os.killpg(self.pid, signal.SIGKILL)
            self.process.wait()


def until(holds: Callable[[], object], seconds: float, wait: Callable[[float], object] = time.sleep) -> bool:
    """Ask until it holds, for so many seconds at most; whether it does. Raises what `wait` raises."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() >= deadline:
            return False
        wait(LOOK)
    return True
