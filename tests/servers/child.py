"""A child process of the tests: logged to a file, stoppable in every rude way, never left behind."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from pwd import getpwnam

from herald.outbox.up.supervisor import leash
from tests.servers.eventually import eventually

STOP_TIMEOUT = 15.0  # seconds a server may take to stop before it is killed
TAIL = 40  # lines shown when something fails


class Child:
    """Start it from a thread that outlives it: on Linux the kernel kills it when that thread ends.

    That is what removes servers after a test run was itself killed.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        user: str | None = None,
    ) -> None:
        self.command = list(command)
        self.log = log
        self._env = env
        self._cwd = cwd
        self._user = user
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """The process id; raises AssertionError before the first start."""
        assert self._process, f"{self.command[0]} was never started"
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs or before it ever ran; negative: the signal that ended it."""
        return self._process.poll() if self._process else None

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        assert not self.running, f"{self.command[0]} runs already"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                _on_leash(self.command, self._user),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self._env,
                cwd=self._cwd,
                start_new_session=True,
            )

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int | None:
        """End it as an operator would; SIGKILL after 15 s. Returns the exit code."""
        if self._process is None:
            return None
        if self.running:
            self.resume()
            self.send(by)
        try:
            return self._process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            self.kill()
            message = f"{self.command} did not stop within {STOP_TIMEOUT:g} s\n{self.tail()}"
            raise AssertionError(message) from None

    def kill(self) -> None:
        """SIGKILL to the process and all it started: a server's workers must not hold its data."""
        if self._process is None:
            return
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(STOP_TIMEOUT)

    def pause(self) -> None:
        """SIGSTOP to the whole group, like a frozen virtual machine."""
        os.killpg(self.pid, signal.SIGSTOP)

    def resume(self) -> None:
        os.killpg(self.pid, signal.SIGCONT)

    def send(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def output(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def tail(self, lines: int = TAIL) -> str:
        return "\n".join(self.output().splitlines()[-lines:])

    def wait_for(self, text: str, deadline: float = 15.0) -> None:
        """Wait until the log holds `text`; raises AssertionError with the log's end when it does not, or it exits."""
        try:
            eventually(lambda: text in self.output() or not self.running, deadline, what=f"{text!r} in the log")
        except AssertionError as error:
            error.add_note(self.tail())
            raise
        assert text in self.output(), f"{self.command} ended with {self.exit_code} before {text!r}\n{self.tail()}"


def _on_leash(command: Sequence[str], user: str | None) -> list[str]:
    """The kernel ends it when the tests are killed: the same leash that `herald up` puts on its children."""
    account = getpwnam(user) if user else None
    tie = [os.getpid(), int(signal.SIGKILL), *((account.pw_uid, account.pw_gid) if account else (-1, -1))]
    program = shutil.which(command[0]) or command[0]  # the leash does not search
    return [sys.executable, "-I", "-S", str(leash.__file__), *map(str, tie), program, *command[1:]]
