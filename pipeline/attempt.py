"""One claimed attempt, and making it: the handler is called, what it does becomes an outcome."""

from collections.abc import Callable, Mapping
from time import monotonic

import msgspec

from outbox.attempts import Outcome
from pipeline.delivery import Delivery
from pipeline.records import Request
from pipeline.retry import RetryPolicy, dead
from pipeline.topic import Topic

OUT_OF_TIME = "not tried: it waited for the one before it, or for a free thread, until its lease was nearly over"


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """A request that was claimed; `deadline` by the monotonic clock: no call may begin after it."""

    request: Request
    number: int
    deadline: float

    @property
    def lane(self) -> tuple[str, str] | None:
        """What it must keep its order in: its topic and key."""
        request = self.request
        return None if request.key is None else (request.topic, request.key)


class Deliverer:
    """Makes attempts. `timeout` is the seconds a handler may take."""

    def __init__(
        self,
        topics: Mapping[str, Topic],
        retries: RetryPolicy,
        *,
        timeout: float,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._topics = topics
        self._retries = retries
        self._timeout = timeout
        self._clock = clock

    def __call__(self, attempt: Attempt) -> Outcome:
        """Call the topic's handler once, unless the lease is nearly over or the data does not fit."""
        request = attempt.request
        if request.defect is not None:
            return dead(request.id, attempt.number, request.defect)
        if self._clock() > attempt.deadline:
            return self._retries.given_back(request.id, attempt.number, OUT_OF_TIME)
        return self._call(request, attempt.number)

    def _call(self, request: Request, number: int) -> Outcome:
        delivery = Delivery(
            id=request.id,
            topic=request.topic,
            key=request.key,
            attempt=number,
            timeout=self._timeout,
            traceparent=request.traceparent,
        )
        try:
            self._topics[request.topic].handle(request.data, delivery)
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, sys.exit included, is its outcome
            return self._retries.after(error, message=request.id, attempt=number)
        return Outcome(id=request.id, attempt=number, outcome="sent")
