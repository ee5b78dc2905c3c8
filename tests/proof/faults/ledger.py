"""Load, and the ledger of what became of each request: accepted, refused, or unknown because no answer came."""

import json
import math
import random
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from threading import Event, Lock, Thread
from time import monotonic
from types import TracebackType
from typing import Any, Literal, Self
from uuid import uuid4

Outcome = Literal["accepted", "refused", "unknown"]

CALLERS = 12
USERS = 20
ANSWER_TIMEOUT = 10.0  # seconds until a caller stops waiting: the fate of its request is unknown then
REPEAT = 0.1  # seconds between two tries of a request that has a key
PATIENCE = 60.0  # seconds until a caller gives up to learn the fate of a request that has a key
KEYED = 0.3  # of the requests have an Idempotency-Key
GENERIC = 0.1  # of the requests are messages on generic_topic, which no provider sees
BAD = 0.02  # of the requests are to be refused


@dataclass(slots=True)
class Entry:
    """One request. `number` is in its data and in no other's, so that it is found though its id is not known.

    `sent` is just before its first try, `answered` just after the answer that told its fate, both by
    the monotonic clock; whoever knows `answered` knows that the request was done before.
    """

    number: int
    topic: str
    key: str
    idempotency_key: str | None
    sent: float = math.inf
    answered: float = math.inf
    outcome: Outcome = "unknown"
    id: str | None = None
    tries: int = 0
    is_good: bool = True
    status: int = 0


@dataclass
class Ledger:
    """Every request that was sent, whatever happened to it."""

    entries: list[Entry] = field(default_factory=list)
    lock: Lock = field(default_factory=Lock, repr=False)

    def enter(self, topic: str, key: str, idempotency_key: str | None) -> Entry:
        """The next one, from any thread."""
        with self.lock:
            entry = Entry(len(self.entries), topic, key, idempotency_key)
            self.entries.append(entry)
        return entry

    def of(self, outcome: Outcome) -> list[Entry]:
        return [entry for entry in list(self.entries) if entry.outcome == outcome]

    @property
    def accepted(self) -> int:
        return len(self.of("accepted"))


class Load:
    """Callers that go on for as long as the `with` lasts, `rate` requests per second in all.

    `ports` are those of the APIs: a caller whose connection breaks goes to the next. `address` is the
    provider's URL. A request with an Idempotency-Key is repeated until its fate is known. A `ledger` is continued.
    Keys are drawn from so many `users`. Messages on generic_topic have fewer than `padding` characters more.
    """

    def __init__(
        self,
        ports: list[int],
        address: str,
        *,
        rate: float,
        seed: int = 0,
        ledger: Ledger | None = None,
        users: int = USERS,
    ) -> None:
        self.ledger = ledger or Ledger()
        self.rate = rate
        self._ports, self._address, self._users = ports, address, users
        self.padding = 0
        self._stop = Event()
        self._threads = [Thread(target=self._run, args=(number, seed), daemon=True) for number in range(CALLERS)]
        self._failure: Exception | None = None
        self.began = monotonic()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
        if self._failure is None:
            return
        if error is None:
            raise self._failure
        error.add_note(f"The load had ended: {self._failure!r}")

    def stop(self) -> None:
        """Send nothing new; returns once every request has its fate."""
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def seconds(self) -> float:
        """For how long it has been going on."""
        return monotonic() - self.began

    def _run(self, number: int, seed: int) -> None:
        draw = random.Random(f"{seed} {number}")  # noqa: S311 - a replayable load
        caller = _Caller(self._ports, number, self._stop)
        due = monotonic()
        try:
            while not self._stop.wait(max(0.0, due - monotonic())):
                # a caller that was held up does not make up for it: the rate is a rate, not a total
                due = max(due + draw.uniform(0.5, 1.5) * CALLERS / self.rate, monotonic() - 1.0)
                entry, path, body = self._next(draw)
                caller.settle(entry, path, body)
        except Exception as error:  # noqa: BLE001 - raised again where the load ends
            self._failure = error
            self._stop.set()

    def _next(self, draw: random.Random) -> tuple[Entry, str, dict[str, Any]]:
        key = f"user-{draw.randrange(self._users)}"
        idempotency_key = str(uuid4()) if draw.random() < KEYED else None
        kind = draw.random()
        entry = self.ledger.enter("generic_topic" if kind < GENERIC else "notifications", key, idempotency_key)
        if entry.topic == "generic_topic":
            data = {
                "number": entry.number,
                **({"padding": "x" * draw.randrange(self.padding)} if self.padding else {}),
            }
            return entry, "/messages", {"topic": entry.topic, "key": key, "data": data}
        letter = {"user_id": key, "event": "fault", "content": str(entry.number)}
        entry.is_good = kind <= 1 - BAD
        address = self._address if entry.is_good else "no address"
        return entry, "/notifications", {**letter, "channel": "webhook", "address": address}


class _Caller:
    """One keep-alive connection, to whichever API answers."""

    def __init__(self, ports: list[int], first: int, stop: Event) -> None:
        self._ports, self._turn, self._stop = ports, first, stop
        self._connection: HTTPConnection | None = None

    def settle(self, entry: Entry, path: str, body: dict[str, Any]) -> None:
        """Send it once, or, with a key, until its fate is known or patience ends."""
        payload = json.dumps(body).encode()
        deadline = monotonic() + PATIENCE
        while entry.outcome == "unknown" and (connection := self._connected(entry)):
            entry.sent = min(entry.sent, monotonic())
            entry.tries += 1
            self._try(connection, entry, path, payload)
            if entry.idempotency_key is None or monotonic() > deadline:
                return
            if entry.outcome == "unknown":
                self._stop.wait(REPEAT)

    def _try(self, connection: HTTPConnection, entry: Entry, path: str, payload: bytes) -> None:
        headers = {"content-type": "application/json"}
        if entry.idempotency_key:
            headers["idempotency-key"] = entry.idempotency_key
        try:
            connection.request("POST", path, payload, headers)
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, HTTPException):
            self._leave()
            return
        judge(entry, answer.status, text)
        if entry.outcome == "unknown":
            self._leave()

    def _connected(self, entry: Entry) -> HTTPConnection | None:
        """A connection that was accepted; None when there is none before the load ends and nothing was sent yet."""
        deadline = monotonic() + PATIENCE
        while self._connection is None:
            connection = HTTPConnection("127.0.0.1", self._ports[self._turn % len(self._ports)], timeout=ANSWER_TIMEOUT)
            try:
                connection.connect()
                self._connection = connection
            except OSError:
                self._turn += 1
                if monotonic() > deadline or (self._stop.wait(REPEAT) and not entry.tries):
                    return None
        return self._connection

    def _leave(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._turn += 1


def judge(entry: Entry, status: int, text: bytes) -> None:
    """Note what the answer says; 409 and 503 leave open what becomes of the request.

    Raises AssertionError for an answer that no caller should ever get.
    """
    if status in {HTTPStatus.CONFLICT, HTTPStatus.SERVICE_UNAVAILABLE}:
        return
    assert status < HTTPStatus.INTERNAL_SERVER_ERROR, f"{status} {text.decode(errors='replace')}"
    entry.answered, entry.status = monotonic(), status
    entry.outcome = "refused"
    if status == HTTPStatus.ACCEPTED:
        entry.id = json.loads(text)["id"]
        entry.outcome = "accepted"
