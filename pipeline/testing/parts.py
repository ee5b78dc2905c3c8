"""The relay and the pipeline of a test: threads of this process, or for a crash a process of its own."""

import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from herald.outbox.crash_points import VARIABLE
from herald.outbox.relay import process as relay
from herald.outbox.settings import Settings
from herald.outbox.up.environment import child_environment
from herald.outbox.up.supervisor.child import Child, Role
from herald.outbox.up.supervisor.terminal import Terminal
from herald.pipeline.process import consume
from herald.pipeline.testing.consumers import Consumers
from herald.pipeline.testing.journal import Journal, JournalledRouter

POLL = 0.05  # seconds the relay rests without a notification: it also ends as soon
STOP_TIMEOUT = 10.0  # seconds for a part to end; a handler that hangs is left behind
CRASHED = -9  # exit code of what SIGKILL ended

Work = Callable[[threading.Event], None]


class PartError(Exception):
    """A part ended by itself; its log, which pytest shows, says more."""


class Part:
    """A thread that works until it is told to stop; what it raises is kept."""

    def __init__(self, name: str, work: Work) -> None:
        self._work = work
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"herald-{name}", daemon=True)
        self.failure: BaseException | None = None
        self._thread.start()

    def ask_to_stop(self) -> None:
        """It ends soon."""
        self._stop.set()

    def stop(self) -> None:
        """Wait until it has ended, 10 seconds at most."""
        self._stop.set()
        self._thread.join(STOP_TIMEOUT)

    def _run(self) -> None:
        try:
            self._work(self._stop)
        except BaseException as error:  # noqa: BLE001 - whoever waits for something is told
            self.failure = error


def start_relay(settings: Settings) -> Part:
    """The relay and its scheduler."""

    def work(stop: threading.Event) -> None:
        if relay.run(settings, stop, poll=POLL):
            message = "the relay cannot lead"
            raise PartError(message)

    return Part("relay", work)


def start_pipeline(settings: Settings, consumers: Consumers, journal: Journal) -> Part:
    """The pipeline: handlers and channels run in threads of this process."""
    return Part("pipeline", lambda stop: run_pipeline(settings, consumers, journal, stop))


def run_pipeline(settings: Settings, consumers: Consumers, journal: Journal, stop: threading.Event) -> None:
    """Consume until `stop` is set. Raises PartError, and what Quix and the consumers' modules raise."""
    topics = consumers.load_topics()
    router = JournalledRouter(settings, topics, consumers.load_channels(settings), journal)
    failed = threading.Event()

    def fail() -> None:
        failed.set()
        stop.set()

    consume(settings, topics, router, stop, on_error=fail)
    if failed.is_set():
        message = "the pipeline's worker ended"
        raise PartError(message)


class DoomedPipeline:
    """A pipeline in a process that is killed when it comes to its crash point."""

    def __init__(self, specification: str, *, crash_at: str, folder: Path) -> None:
        self.crash_at = crash_at
        self._log = folder / "pipeline.log"
        self._file = self._log.open("a", encoding="utf-8")
        path = folder / "pipeline.json"
        path.write_text(specification, encoding="utf-8")
        ours = {"PYTHONPATH": os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)}
        role = Role(
            name="pipeline",
            command=[sys.executable, "-P", "-m", "herald.pipeline.testing.child", str(path)],
            env=child_environment({**ours, VARIABLE: f"{crash_at}:1:KILL"}),
            stop_by=STOP_TIMEOUT,
        )
        self._child = Child(role, Terminal(Console(file=self._file, soft_wrap=True)))

    @property
    def is_running(self) -> bool:
        """Whether it was not killed yet. Raises PartError when it ended otherwise."""
        code = self._child.poll()
        if code not in {None, CRASHED}:
            self._child.finish_output(STOP_TIMEOUT)
            message = f"the pipeline ended with {code} before {self.crash_at}:\n{self.log()}"
            raise PartError(message)
        return code is None

    def log(self) -> str:
        """The end of what it printed."""
        self._file.flush()
        return self._log.read_text(encoding="utf-8")[-4000:]

    def kill(self) -> None:
        """End it, as at its crash point."""
        self._child.kill()
        self._child.finish_output(STOP_TIMEOUT)
        self._file.close()
