"""`herald pipeline` as it is, but for a channel that says that it began, and goes on once the file GATE is there."""

import os
from pathlib import Path
from threading import Event

from herald.outbox import registry
from herald.outbox.settings import Settings
from herald.pipeline.channel import Delivery, Letter
from herald.pipeline.channels.log import LogChannel

POLL = 0.02  # seconds


class Gated(LogChannel):
    """Delivers like `log`, but not before it may."""

    def deliver(self, letter: Letter, delivery: Delivery) -> None:
        """Wait for the gate."""
        print(f"begun {delivery.id}", flush=True)  # noqa: T201 - the test reads it
        pause, gate = Event(), Path(os.environ["GATE"])
        while not gate.exists():
            pause.wait(POLL)
        super().deliver(letter, delivery)


def make_channel(_settings: Settings) -> Gated:
    """It needs no settings."""
    return Gated()


if __name__ == "__main__":
    registry.CHANNELS[registry.DEFAULT_CHANNEL] = "tests.proof.end_to_end.gated_pipeline"
    from herald.pipeline.process import command

    command()
