"""`herald pipeline` as it is, but for a channel without output: its rival prints nothing either."""

from herald.outbox import registry
from herald.outbox.settings import Settings
from herald.pipeline.channel import Delivery, Letter


class Silence:
    """Takes everything at once."""

    name = "log"

    def host(self, address: str) -> str:  # noqa: ARG002 - a Channel
        """Nothing outside."""
        return ""

    def close(self) -> None:
        """Nothing is open."""

    def deliver(self, letter: Letter, delivery: Delivery) -> None:
        """Do nothing."""


def make_channel(_settings: Settings) -> Silence:
    return Silence()


if __name__ == "__main__":
    registry.CHANNELS[registry.DEFAULT_CHANNEL] = "benchmarks.silent_pipeline"
    from herald.pipeline.process import command

    command()
