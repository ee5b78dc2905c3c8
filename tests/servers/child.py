"""A child process of the tests: logged to a file, stoppable in every rude way, never left behind."""

import os
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from herald.outbox.up import child
from herald.outbox.up.child import OURS, Account
from tests.servers.eventually import eventually

STOP_TIMEOUT = 15.0  # seconds a server may take to stop before it is killed
TAIL = 40  # lines shown when something fails


class Child:
    """One of Herald's own children, which can be started again; the leash removes it after a killed test run, too."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        account: Account = OURS,
    ) -> None:
        self.command = list(command)
        self.log = log
        self._env = env
        self._cwd = cwd
        self._account = account
        self._child: child.Child | None = None

    @property
    def pid(self) -> int:
        """The process id; raises AssertionError before the first start."""
        assert self._child, f"{self.command[0]} was never started"
        return self._child.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs or before it ever ran; negative: the signal that ended it."""
        return self._child.code if self._child else None

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.code is None

    def start(self) -> None:
        assert not self.running, f"{self.command[0]} runs already"
        with self.log.open("ab") as log:
            self._child = child.Child(self.command, output=log, env=self._env, cwd=self._cwd, account=self._account)

    def stop(self, by: signal.Signals = signal.SIGTERM) -> int | None:
        """End it as an operator would; SIGKILL after 15 s. Returns the exit code."""
        if self._child and self.running:
            self.resume()
            if not self._child.stop(by, STOP_TIMEOUT):
                message = f"{self.command} did not stop within {STOP_TIMEOUT:g} s\n{self.tail()}"
                raise AssertionError(message)
        return self.exit_code

    def kill(self) -> None:
        """SIGKILL to the process and all it started: a server's workers must not hold its data."""
        if self._child:
            self._child.kill()

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
