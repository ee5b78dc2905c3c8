"""Callers that go on whatever happens, and know what they were answered."""

from threading import Event, Thread
from time import monotonic
from types import TracebackType
from typing import Self

import httpx2

from tests.end_to_end.system import Herald

CALLERS = 4
PAUSE = 0.02  # seconds between two requests of a caller; about 150 requests per second in all
USERS = 20


class Load:
    """Posts notifications from a few threads for as long as the `with` lasts.

    `accepted` holds the ids that were answered 202; `unanswered` counts the requests whose fate is
    unknown, because the connection broke or could not be had, or the answer was 503.
    """

    def __init__(self, herald: Herald) -> None:
        self._client = herald.client
        self._stop = Event()
        self._callers = [Thread(target=self._call, args=(number,), daemon=True) for number in range(CALLERS)]
        self._began = monotonic()
        self._failure: Exception | None = None
        self.accepted: list[str] = []
        self.unanswered = 0

    def __enter__(self) -> Self:
        for caller in self._callers:
            caller.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for caller in self._callers:
            caller.join()
        if self._failure is not None and error is None:
            raise self._failure

    @property
    def seconds(self) -> float:
        """For how long it has been going on."""
        return monotonic() - self._began

    def _call(self, number: int) -> None:
        turn = number
        while not self._stop.wait(PAUSE) and self._failure is None:
            try:
                self._post(turn)
            except httpx2.TransportError:
                self.unanswered += 1
            except Exception as error:  # noqa: BLE001 - raised again where the load ends
                self._failure = error
            turn += CALLERS

    def _post(self, turn: int) -> None:
        body = {"user_id": turn % USERS, "event": "load", "content": f"number {turn}"}
        answer = self._client.post("/notifications", json=body)
        if answer.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
            self.unanswered += 1
            return
        assert answer.status_code == 202, answer.text
        self.accepted.append(answer.json()["id"])
