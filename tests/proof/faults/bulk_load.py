"""Load in batches over few connections: what it costs leaves the machine to what is measured."""

import json
import random
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from threading import Event
from time import monotonic

from tests.proof.faults.ledger import ANSWER_TIMEOUT, Entry, Ledger
from tests.servers.meanwhile import Meanwhile

TOPIC = "notifications, logged"  # in the ledger: no provider sees them
BATCH = 10  # notifications of one POST
CALLERS = 2


class BulkLoad(Meanwhile):
    """`rate` notifications per second in all, over the channel `log`, for as long as the `with` lasts.

    A POST that is not answered leaves the fate of its notifications unknown. Those of one POST are not ordered among
    each other.
    """

    def __init__(self, ports: list[int], *, rate: float, users: int, ledger: Ledger) -> None:
        self.ledger = ledger
        self._ports, self._rate, self._users = ports, rate, users
        super().__init__(*(partial(self._run, number) for number in range(CALLERS)))

    def _run(self, number: int, stop: Event) -> None:
        draw = random.Random(number)  # noqa: S311 - a replayable load
        every = BATCH * CALLERS / self._rate
        due = monotonic() + number * every / CALLERS
        connection = HTTPConnection("127.0.0.1", self._ports[number % len(self._ports)], timeout=ANSWER_TIMEOUT)
        while not stop.wait(max(0.0, due - monotonic())):
            due = max(due + every, monotonic() - 1.0)
            entries = [self.ledger.enter(TOPIC, f"user-{draw.randrange(self._users)}", None) for _ in range(BATCH)]
            self._post(connection, entries)
        connection.close()

    def _post(self, connection: HTTPConnection, entries: list[Entry]) -> None:
        items = [
            {"user_id": one.key, "event": "fault", "content": str(one.number), "channel": "log"} for one in entries
        ]
        sent = monotonic()
        for entry in entries:
            entry.sent, entry.tries = sent, 1
        try:
            headers = {"content-type": "application/json"}
            connection.request("POST", "/notifications/bulk", json.dumps({"items": items}), headers)
            answer = connection.getresponse()
            body = answer.read()
        except (OSError, HTTPException):
            connection.close()
            return
        if answer.status != HTTPStatus.ACCEPTED:
            return
        answered = monotonic()
        for entry, item in zip(entries, json.loads(body)["items"], strict=True):
            entry.answered, entry.status, entry.outcome, entry.id = answered, answer.status, "accepted", item["id"]
