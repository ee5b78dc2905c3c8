"""`herald pipeline` as it is, but for a channel that begins and never ends."""

from threading import Event

from outbox import registry
from pipeline.delivery import Delivery


class Stuck:
    """Says that it began, and waits until it is killed."""

    name = "log"

    def deliver(self, *, user_id: str, event: str, content: str, delivery: Delivery) -> None:  # noqa: ARG002 - the channel's signature
        print(f"begun {delivery.id}", flush=True)  # noqa: T201 - the test reads it
        Event().wait()


channel = Stuck()

if __name__ == "__main__":
    registry.CHANNELS[registry.DEFAULT_CHANNEL] = "tests.end_to_end.stuck_pipeline"
    from pipeline.process import command

    command()
