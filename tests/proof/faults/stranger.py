"""Another producer, whose good records Herald adopts; they stand in the ledger like requests."""

import json
from contextlib import suppress
from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Self

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from herald.outbox.postgres.statements import fetch
from tests.outbox.connections import connected
from tests.proof.faults.ledger import Ledger

RATE = 4.0  # records per second
ACKNOWLEDGED = 10.0  # seconds until the fate of a record is unknown
LEFT = 30.0  # seconds for the last ones


class Stranger:
    """Writes notifications onto their topic for as long as the `with` lasts, each of a key of its own."""

    def __init__(self, bootstrap_servers: str, address: str, ledger: Ledger) -> None:
        self._address, self._ledger = address, ledger
        self._producer = Producer(
            {"bootstrap.servers": bootstrap_servers, "message.timeout.ms": int(1000 * ACKNOWLEDGED), "log_level": 0}
        )
        self._stop = Event()
        self._thread = Thread(target=self._run, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()
        self._producer.flush(LEFT)

    def _run(self) -> None:
        while not self._stop.wait(1 / RATE):
            self._write()
            self._producer.poll(0)

    def _write(self) -> None:
        entry = self._ledger.enter("notifications", "", None)
        entry.key, entry.sent = f"stranger-{entry.number}", monotonic()
        letter = {"user_id": entry.key, "event": "fault", "content": str(entry.number)}
        value = json.dumps({**letter, "channel": "webhook", "address": self._address})

        def reported(error: KafkaError | None, _record: Message) -> None:
            if error is None:
                entry.answered, entry.outcome = monotonic(), "accepted"

        with suppress(KafkaException, BufferError):  # it never gets there
            self._producer.produce("notifications", value, on_delivery=reported)


def name_adopted(ledger: Ledger, database: str) -> None:
    """Give entries that another producer wrote the ids under which they were adopted."""
    with connected(database) as connection:
        found = fetch(connection, "SELECT content, id::text FROM notifications")
    ids: dict[str, str] = dict(found)
    for entry in ledger.entries:
        if entry.id is None and entry.outcome == "accepted":
            entry.id = ids.get(str(entry.number))
