"""`herald pipeline` as it is, but for a channel without output: its rival prints nothing either."""

from outbox import registry
from pipeline.delivery import Delivery


class Silence:
    """Takes everything at once."""

    name = "log"

    def deliver(self, *, user_id: str, event: str, content: str, delivery: Delivery) -> None:
        """Do nothing."""


channel = Silence()

if __name__ == "__main__":
    registry.CHANNELS[registry.DEFAULT_CHANNEL] = "benchmarks.silent_pipeline"
    from pipeline.process import command

    command()
