"""Notices that the consumer has no connection to any broker for too long: it may never make one again.

A client that got an answer without brokers, and then lost its connection, may wait for ever (librdkafka 2.12 and
later); it says nothing of it but in its statistics.
"""

from collections.abc import Callable
from time import monotonic

import msgspec

from herald.outbox.watched.life import came_by
from herald.outbox.watched.servers import CONSUMER, SERVERS
from herald.pipeline.errors import OutageError

STATISTICS = 2_000  # milliseconds between two of the client's statistics


class SilentKafkaError(OutageError):
    """No broker answers for as long as the patience lasts."""


class _Broker(msgspec.Struct):
    state: str = ""


class _Statistics(msgspec.Struct):
    brokers: dict[str, _Broker] = {}


class BrokerWatch:
    """`note` gets each of the client's statistics; after `patience` seconds without a broker `on_silence` is called."""

    def __init__(
        self,
        patience: float,
        on_silence: Callable[[SilentKafkaError], object],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._patience = patience
        self._on_silence = on_silence
        self._clock = clock
        self._connected_at: float | None = None

    def note(self, statistics: str) -> None:
        """Called by the client, in the thread that polls it."""
        now = self._clock()
        came_by()
        brokers = msgspec.json.decode(statistics, type=_Statistics).brokers.values()
        is_connected = any(broker.state == "UP" for broker in brokers)
        SERVERS.found(CONSUMER) if is_connected else SERVERS.lost(CONSUMER)
        if self._connected_at is None or is_connected:
            self._connected_at = now
        elif now - self._connected_at > self._patience:
            self._on_silence(SilentKafkaError(f"the consumer has had no broker for {self._patience:g} s"))
