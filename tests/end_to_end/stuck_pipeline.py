"""`herald pipeline` as it is, but for a channel that begins and never ends."""

from threading import Event

from outbox import registry
from outbox.settings import Settings
from pipeline.delivery import Delivery, Letter


class Stuck:
    """Says that it began, and waits until it is killed."""

    name = "log"

    def host(self, address: str) -> str:  # noqa: ARG002 - a Channel
        """Nothing outside."""
        return ""

    def close(self) -> None:
        """Nothing is open."""

    def deliver(self, letter: Letter, delivery: Delivery) -> None:  # noqa: ARG002 - a Channel
        print(f"begun {delivery.id}", flush=True)  # noqa: T201 - the test reads it
        Event().wait()


def make_channel(_settings: Settings) -> Stuck:
    return Stuck()


if __name__ == "__main__":
    registry.CHANNELS[registry.DEFAULT_CHANNEL] = "tests.end_to_end.stuck_pipeline"
    from pipeline.process import command

    command()
