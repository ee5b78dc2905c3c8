"""Relay and pipeline of a test: started, crashed, started again, stopped."""

import json
from itertools import count
from pathlib import Path
from typing import Any

from herald.outbox.crash_points import POINTS
from herald.outbox.settings import Settings
from herald.pipeline.testing.consumers import Consumers
from herald.pipeline.testing.journal import Journal
from herald.pipeline.testing.parts import DoomedPipeline, Part, start_pipeline, start_relay

CRASHABLE = tuple(point for point in POINTS if point.startswith("pipeline."))


class System:
    """The pipeline is a thread of this process, until it has to crash; `said` are the settings as they were given.

    Each pipeline has a consumer group of its own and reads everything again: more than a restart repeats, and
    claims drop it. In one group the embedded broker would wait for a member that left while it joined.
    """

    def __init__(
        self, settings: Settings, said: dict[str, Any], consumers: Consumers, journal: Journal, *, folder: Path
    ) -> None:
        self._settings = settings
        self._said = said
        self._consumers = consumers
        self._journal = journal
        self._folder = folder
        self._relay = start_relay(settings)
        self._groups = (f"{settings.group or 'herald'}-{number}" for number in count(1))
        self._pipeline: Part | DoomedPipeline = self._started()

    def crash_at(self, point: str) -> None:
        """From now on the pipeline is a process of its own, which is killed at this point.

        Raises ValueError for a point that is none, TypeError for consumers that are no modules.
        """
        if point not in CRASHABLE:
            message = f"point: {point!r} is none of the pipeline's: {', '.join(CRASHABLE)}"
            raise ValueError(message)
        settings = {**self._said, "group": next(self._groups)}
        said = {"settings": settings, "consumers": self._consumers.modules(), "journal": str(self._journal.path)}
        specification = json.dumps(said, default=str)
        self._end_pipeline()
        self._pipeline = DoomedPipeline(specification, crash_at=point, folder=self._folder)

    def restart(self) -> None:
        """The pipeline runs in this process again; one that was to crash and has not is killed now."""
        self._end_pipeline()
        self._pipeline = self._started()

    @property
    def log(self) -> str:
        """What a pipeline in a process of its own has printed lately."""
        return self._pipeline.log() if isinstance(self._pipeline, DoomedPipeline) else ""

    @property
    def is_crashed(self) -> bool:
        """Whether the pipeline was killed at its point. Raises PartError."""
        return isinstance(self._pipeline, DoomedPipeline) and not self._pipeline.is_running

    def check(self) -> None:
        """Raise AssertionError when nothing more can happen: a part ended, or was killed and not started again."""
        for name, part in (("relay", self._relay), ("pipeline", self._pipeline)):
            failure = part.failure if isinstance(part, Part) else None
            if failure is not None:
                message = f"the {name} ended: {type(failure).__name__}: {failure}"
                raise AssertionError(message) from failure
        if self.is_crashed:
            message = "the pipeline was killed at its crash point and nobody has started it again: call restart()"
            raise AssertionError(message)

    def stop(self) -> None:
        """End both, side by side."""
        self._relay.ask_to_stop()
        self._end_pipeline()
        self._relay.stop()

    def _started(self) -> Part:
        settings = self._settings.model_copy(update={"group": next(self._groups)})
        return start_pipeline(settings, self._consumers, self._journal)

    def _end_pipeline(self) -> None:
        if isinstance(self._pipeline, Part):
            self._pipeline.stop()
        else:
            self._pipeline.kill()
