"""Relay and pipeline of a test: threads of this process, or for a crash a process that runs this module."""

import json
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from signal import SIGKILL
from typing import Any

from herald.outbox.crash_points import POINTS, VARIABLE
from herald.outbox.extensions import extend
from herald.outbox.logs import configure_logs
from herald.outbox.relay import process as relay
from herald.outbox.settings import Settings
from herald.outbox.stopping import Stop, stop_on_signals
from herald.outbox.up.child import Child
from herald.pipeline.consume.application import quieten_quix
from herald.pipeline.load import load_channels, load_topics
from herald.pipeline.round import consume
from herald.pipeline.testing.consumers import Consumers
from herald.pipeline.testing.journal import Journal, JournalledRouter
from herald.pipeline.testing.settings import make_settings

POLL = 0.05  # seconds the relay rests without a notification: it also ends as soon
STOP_TIMEOUT = 10.0  # seconds for a part to end; a handler that hangs is left behind
CRASHABLE = tuple(point for point in POINTS if point.startswith("pipeline."))


class PartError(Exception):
    """A part ended by itself; its log, which pytest shows, says more."""


class Part(threading.Thread):
    """A thread that works until it is told to stop; what it raises is kept."""

    def __init__(self, name: str, work: Callable[[Stop], None]) -> None:
        super().__init__(name=name, daemon=True)
        self.told = Stop()
        self._failure: BaseException | None = None
        self._work = work
        self.start()

    def run(self) -> None:
        """The thread."""
        try:
            self._work(self.told)
        except BaseException as error:  # noqa: BLE001 - whoever waits for something is told
            self._failure = error

    def check(self) -> None:
        """Raise AssertionError when it ended, and nothing more can happen."""
        if self._failure is not None:
            message = f"the {self.name} ended: {type(self._failure).__name__}: {self._failure}"
            raise AssertionError(message) from self._failure

    def end(self) -> None:
        """Wait until it has ended, 10 seconds at most."""
        self.told.set()
        self.join(STOP_TIMEOUT)


class Doomed(Child):
    """A pipeline in a process that is killed when it comes to its crash point; `said` is what `main` reads."""

    def __init__(self, said: dict[str, Any], *, crash_at: str, folder: Path) -> None:
        self._point, self._log, path = crash_at, folder / "pipeline.log", folder / "pipeline.json"
        path.write_text(json.dumps(said, default=str), encoding="utf-8")
        ours = os.pathsep.join(entry or str(Path.cwd()) for entry in sys.path)
        env = {**os.environ, "PYTHONPATH": ours, "HERALD_LOG_FORMAT": "console", VARIABLE: f"{crash_at}:1:KILL"}
        with self._log.open("a", encoding="utf-8") as log:
            super().__init__([sys.executable, "-P", "-m", __name__, str(path)], output=log, env=env)

    @property
    def is_crashed(self) -> bool:
        """Raises PartError when it ended otherwise."""
        if self.code not in {None, -SIGKILL}:
            message = f"the pipeline ended with {self.code} before {self._point}:\n{self.log()}"
            raise PartError(message)
        return self.code is not None

    def check(self) -> None:
        """Raise AssertionError when nothing more can happen."""
        if self.is_crashed:
            message = "the pipeline was killed at its crash point and nobody has started it again: call restart()"
            raise AssertionError(message)

    def log(self) -> str:
        """The end of what it printed."""
        return self._log.read_text(encoding="utf-8")[-4000:]

    def end(self) -> None:
        """As at its crash point."""
        self.kill()


def run_relay(settings: Settings, stop: threading.Event) -> None:
    """Lead, with the scheduler, until `stop` is set. Raises PartError."""
    if relay.run(settings, stop, poll=POLL):
        raise PartError("the relay cannot lead")


def run_pipeline(settings: Settings, journal: Journal, stop: Stop) -> None:
    """Consume until `stop` is set. Raises what ends it before, and what the consumers' modules raise."""
    topics = load_topics()
    consume(settings, topics, JournalledRouter(settings, topics, load_channels(settings), journal), stop)


def main(path: Path) -> None:
    """Run what the file says: settings, consumers, the journal."""
    stop, said = Stop(), json.loads(path.read_text(encoding="utf-8"))
    stop_on_signals(stop)
    configure_logs("pipeline")
    quieten_quix()
    extend(said["settings"].get("extensions", ()))
    with Consumers(**said["consumers"]).registered():
        run_pipeline(make_settings(said["settings"]), Journal(Path(said["journal"])), stop)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
