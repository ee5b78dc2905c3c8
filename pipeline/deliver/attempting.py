"""Making an attempt: the handler or the channel is called, what it does becomes an outcome."""

from collections.abc import Callable
from time import monotonic

import msgspec

from herald.outbox.crash_points import reach
from herald.outbox.moves.claim import REASONS
from herald.outbox.moves.record import Outcome
from herald.outbox.watched.traces import TRACES
from herald.pipeline.channel import Delivery
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.blame import FORESEEN, Blame
from herald.pipeline.deliver.causes import drop_tracebacks
from herald.pipeline.deliver.failing import Health
from herald.pipeline.deliver.lack import Lacks, lack_in
from herald.pipeline.deliver.retry import OUT_OF_TIME, RetryPolicy, dead, postponed, reason_of
from herald.pipeline.deliver.routing import Router

LONGEST_WAIT = 60.0  # seconds between two tries while nothing of its kind succeeds


class Deliverer:
    """Makes attempts, in many threads and on the loop at once."""

    def __init__(
        self, router: Router, health: Health, *, blame: Blame | None = None, clock: Callable[[], float] = monotonic
    ) -> None:
        self._router = router
        self._health = health
        self._blame = blame or Blame()
        self._clock = clock
        self._lacks = Lacks(clock=clock)

    async def __call__(self, attempt: Attempt) -> Outcome:
        """Call once, unless the lease is nearly over, the destination fails, or the data does not fit.

        Awaits nothing where what is called is no coroutine: threads run this as well.
        """
        if TRACES.spans is None:
            outcome = self._judged(attempt) or await self._call(attempt)
        else:
            outcome = await self._traced(attempt)
        self._health.note(outcome)
        return outcome

    async def _traced(self, attempt: Attempt) -> Outcome:
        request, spans, span = attempt.request, TRACES.spans, None
        if spans is not None:
            span = spans.attempting(
                request.traceparent,
                request.id,
                topic=request.topic,
                destination=attempt.destination,
                attempt=attempt.number,
            )
        if spans is None or span is None:
            return self._judged(attempt) or await self._call(attempt)
        below = msgspec.structs.replace(request, traceparent=spans.place_of(span))
        attempt = msgspec.structs.replace(attempt, request=below)
        with spans.current(span):
            outcome = self._judged(attempt) or await self._call(attempt)
        spans.attempted(span, outcome.outcome, outcome.code)
        return outcome

    def _judged(self, attempt: Attempt) -> Outcome | None:
        request = attempt.request
        if request.defect is not None:
            return dead(attempt, request.defect, "undeliverable")
        if self._clock() > attempt.deadline:
            return postponed(attempt, OUT_OF_TIME, "out_of_time", wait=1.0)
        if not attempt.is_probe and self._health.is_barred(attempt.counted, attempt.generation):
            return postponed(attempt, REASONS["breaker_open"], "breaker_open", wait=0.0)
        return None

    async def _call(self, attempt: Attempt) -> Outcome:
        request = attempt.request
        policy = self._router.policy(attempt.destination, request.topic)
        delivery = Delivery(
            id=request.id,
            topic=request.topic,
            key=request.key,
            attempt=attempt.number,
            timeout=policy.timeout,
            traceparent=request.traceparent,
        )
        try:
            reach("pipeline.delivering")
            await self._router.deliver(request, delivery)
            reach("pipeline.delivered")
        except BaseException as error:  # noqa: BLE001 - whatever a handler raises, sys.exit included, is its outcome
            outcome = self._failed(error, attempt, RetryPolicy(policy))
            drop_tracebacks(error)
            return outcome
        self._blame.delivered(attempt)
        return Outcome(id=request.id, attempt=attempt.number, outcome="sent", destination=attempt.counted)

    def _failed(self, error: BaseException, attempt: Attempt, retries: RetryPolicy) -> Outcome:
        try:
            outcome = retries.after(error, attempt)
            if outcome.outcome == "postponed" and (lack := lack_in(error)):
                self._lacks.note(lack)
                return outcome
            if isinstance(error, FORESEEN):
                return outcome
            if self._blame.is_the_messages(error, attempt) and (
                outcome.outcome != "dead" or self._blame.may_end(error)
            ):
                return outcome
        except Exception as again:  # noqa: BLE001 - an error may carry anything, and a thread must not die of it
            error = again
        return postponed(
            attempt, reason_of(error), "handler_error", wait=min(retries.wait(attempt.number), LONGEST_WAIT)
        )
