"""Which servers this process has found away, by those who met them."""

from collections.abc import Sequence


class Servers:
    """Any thread may say so."""

    def __init__(self) -> None:
        self._lost: dict[str, str] = {}

    def lost(self, server: str, why: str = "does not answer") -> None:
        """It is away until it is found."""
        self._lost[server] = why

    def found(self, server: str) -> None:
        """It answers, or nobody here needs it."""
        self._lost.pop(server, None)

    def is_lost(self, *servers: str) -> bool:
        """Whether one of them is away, as far as anybody here has noticed."""
        return any(server in self._lost for server in servers)

    def missing(self) -> Sequence[str]:
        """What is away, and why."""
        return [f"{server}: {why}" for server, why in list(self._lost.items())]


SERVERS = Servers()
KAFKA = "Kafka"
CONSUMER = "Kafka, for the consumer"  # it has a connection: that another client has no answer says nothing of it
