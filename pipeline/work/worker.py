"""The one thread of the pipeline that touches the database.

It takes whatever is at hand, new records and finished deliveries alike, and writes one transaction: outcomes recorded,
the next requests claimed. Threads and the loop deliver the winners, and their outcomes come back here. Who adds records
waits in `flush` only until they are claimed: then the database holds them, and a slow destination holds up nobody.

A message whose key has an attempt under way is claimed all the same and held here: its lease runs
meanwhile, so no call begins when less than a delivery's time is left of it (`Attempt.deadline`).
Leaving it unclaimed instead would make the checkpoint, and with it every other key, wait for it.
Where it could not begin in time anyway, because its destination is busy, the claim postpones it.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from logging import ERROR, WARNING
from time import monotonic

import structlog

from herald.outbox.crash_points import reach
from herald.outbox.destination.descriptors import affordable
from herald.outbox.moves.record import Outcome
from herald.outbox.postgres.connections import reason
from herald.outbox.settings import Settings
from herald.outbox.threads import Thread
from herald.outbox.watched.life import LIFE, came_by, judging, living
from herald.outbox.watched.pipeline import OPEN
from herald.pipeline.consume.dead_letters import SendLetters
from herald.pipeline.consume.inbox import Doorbell, Inbox
from herald.pipeline.consume.intake import Intake
from herald.pipeline.deliver.attempt import COPIES, Attempt
from herald.pipeline.deliver.attempting import Deliverer
from herald.pipeline.deliver.deliveries import Deliveries
from herald.pipeline.deliver.failing import Health
from herald.pipeline.deliver.noting import Made, note_claimed
from herald.pipeline.deliver.retry import STOPPED, postponed
from herald.pipeline.deliver.routing import Router
from herald.pipeline.errors import OutageError
from herald.pipeline.work.claiming import Claiming
from herald.pipeline.work.ledger import Ledger, Written
from herald.pipeline.work.outcomes import OUTCOME_BATCH, RETURNED, Outcomes
from herald.pipeline.work.taking import Taken, Taking

OPEN_SHARE, INBOX_SHARE, PASS_SHARE = 2, 8, 16  # parts of HERALD_MEMORY; the consumer's queue has a quarter
CLAIM_BATCH = 1000  # records in one transaction at most
NO_PROGRESS = 0.002  # seconds after which one more delivery thread is woken
PATIENCE = 10.0  # seconds a flush may wait for memory; then all is claimed, and put off where there is still none
HAND_OVER = 1.0  # seconds that a partition waits for what was claimed of it; a session may last as little as 3
FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds until outcomes that could not be recorded at the end are tried again

_never = threading.Event()
_log = structlog.get_logger()


class Worker:
    """Claims what is added to the inbox, has it delivered, records what became of it.

    `on_error` is called when it has to end: from its thread, by an error there, and by `fail`.
    """

    def __init__(
        self,
        settings: Settings,
        intake: Intake,
        router: Router,
        ledger: Ledger,
        send_letters: SendLetters,
        on_error: Callable[[], None],
    ) -> None:
        self._ledger, self._router = ledger, router
        self._send_letters, self._on_error = send_letters, on_error
        self._lease, self._health = settings.lease, Health(settings.breaker_failures)
        self._doorbell, self._outcomes = Doorbell(), Outcomes()
        self.inbox = Inbox(self._doorbell, most_bytes=settings.memory // INBOX_SHARE)
        self._pass_bytes = settings.memory // PASS_SHARE
        threads, calls = affordable(settings.concurrency, settings.open_calls)
        self._deliveries = Deliveries(
            Deliverer(router, self._health),
            self._finish,
            router.policy,
            concurrency=threads,
            calls=calls,
            most_bytes=settings.memory // OPEN_SHARE,
            on_error=self.fail,
            strict_topics=settings.strict_topics,
            made=Made(names_destinations=settings.metrics_destinations == "yes"),
        )
        self._claiming = Claiming(settings, router, self._deliveries)
        self._taking = Taking(self.inbox, intake, self._claiming)
        self._closing, self._ends_at = False, float("inf")
        self._thread = Thread(self._run, "worker")

    def holds_up_flush(self) -> bool:
        """Whether a flush waits because this one waits for a server."""
        return self.inbox.flushing_for > 0 and (LIFE.is_waiting(self._thread) or self._taking.rest > 0)

    def start(self) -> None:
        OPEN.set_function(lambda: self._deliveries.open)
        self._deliveries.start()
        self._thread.start()

    def close(self, timeout: float) -> None:
        """Claim nothing more; record what ends within so many seconds, leave the rest to its lease, close channels."""
        self._ends_at = min(self._ends_at, monotonic() + timeout)
        self._closing = True
        self._doorbell.ring()
        if self._thread.ident is not None:
            self._thread.join(timeout)
        if self._deliveries.open:
            _log.warning("deliveries_left_to_their_leases", deliveries=self._deliveries.open)
        self._deliveries.close(self._router.close)
        OPEN.set_function(lambda: 0.0)  # or the metric would keep all of a round

    def fail(self, error: BaseException) -> None:
        """Have the round end: whoever adds or flushes from now on is told why, and no offset is committed.

        Nothing more is claimed; what is being delivered is finished and recorded.
        """
        self.inbox.fail(error)
        self._closing = True
        self._doorbell.ring()
        self._on_error()

    def raise_failure(self) -> None:
        """Raise OutageError, or WorkerError from whatever else made it end by itself, if anything did."""
        if isinstance(self.inbox.error, OutageError):
            raise self.inbox.error
        self.inbox.raise_error()

    def hand_over(self) -> None:
        """Return once all that is claimed has begun, after a second at most; called while nothing is added.

        Whoever gets the partitions calls the next of each key at once: what has not begun by then is overtaken.
        """
        deadline = monotonic() + HAND_OVER
        while self._deliveries.has_unbegun and monotonic() < deadline:
            _never.wait(NO_PROGRESS)

    def work(self) -> int:
        """One pass; returns how many records and outcomes it settled.

        Raises what keeps it from that. Then outcomes that are not recorded are still here, what was claimed is given
        back or under way, and the records count as not settled.
        """
        taken = self._taking.take(self._room(), most_bytes=self._room_bytes())
        outcomes = self._outcomes.take(returned=OUTCOME_BATCH if self._closing else RETURNED)
        if not taken.arrivals and not outcomes:
            return 0
        if taken.arrivals:
            reach("pipeline.received")
        self._write(outcomes, taken)
        self.inbox.settle(taken.arrivals)
        return taken.arrivals + len(outcomes)

    def _write(self, outcomes: Sequence[Outcome], taken: Taken) -> None:
        self._health.generation += 1
        asked_at, written = monotonic(), Written()
        try:
            self._ledger.write(outcomes, list(taken.requests.values()), self._claiming.record_of, written)
        except BaseException:
            self._outcomes.put_back(written.unrecorded)
            self._give_back(self._attempts(taken, written, asked_at))
            raise
        finally:
            left = set(map(id, written.unrecorded))
            self._deliveries.settled([one for one in outcomes if id(one) not in left])
        if outcomes:
            reach("pipeline.recorded")
        if written.won:
            reach("pipeline.claimed")
        if attempts := self._attempts(taken, written, asked_at):
            note_claimed(attempts)
            self._deliveries.submit(self._claiming.traced(attempts, asked_at=asked_at))
        letters = [*taken.letters, *((request.arrival, reason) for request, reason in written.refused)]
        if letters:
            self._send_letters(letters)

    def _attempts(self, taken: Taken, written: Written, asked_at: float) -> list[Attempt]:
        claimed = list((taken.requests | written.replaced).values())
        return self._claiming.attempts(claimed, written.won, asked_at=asked_at, generation=self._health.generation)

    def _run(self) -> None:
        """Work; however that ends, what is open is finished and recorded: its lease would repeat the calls."""
        try:
            with living("worker", is_idle=self._rests, may_fail=True), judging(self._deliveries.overdue):
                while not self._closing:
                    if not self.work():
                        self._sleep()
                    came_by()
        except BaseException as error:  # noqa: BLE001 - the next add or flush raises it
            is_outage = isinstance(error, OutageError)
            _log.log(WARNING if is_outage else ERROR, "worker_ended", reason=reason(error), exc_info=not is_outage)
            self.fail(error)
        try:
            self._drain()
        finally:
            self._ledger.close()

    def _drain(self) -> None:
        """Give back what has not begun, and record what becomes of the rest, as long as a lease lasts at most."""
        self._ends_at = min(self._ends_at, monotonic() + self._lease)
        pause = FIRST_PAUSE
        self._give_back(self._deliveries.abandon())
        while (self._deliveries.open or self._outcomes) and (left := self._ends_at - monotonic()) > 0:
            try:
                if not self.work():
                    self._doorbell.sleep(lambda: bool(self._outcomes), timeout=left)
            except Exception as error:  # noqa: BLE001 - whatever it is, it may pass before the leases do
                _log.warning("outcomes_not_recorded", reason=reason(error), next_try_seconds=pause)
                _never.wait(min(pause, left))
                pause = min(2 * pause, LONGEST_PAUSE)

    def _sleep(self) -> None:
        if self._deliveries.waiting:
            if not self._doorbell.sleep(self._has_work, NO_PROGRESS):
                self._deliveries.wake_one_more()
            return
        timeout = max(PATIENCE - self.inbox.flushing_for, NO_PROGRESS) if len(self.inbox) else None
        self._doorbell.sleep(self._has_work, self._taking.rest or timeout)

    def _rests(self) -> bool:
        """Asleep, and rightly: with something at hand its sleep is short."""
        return self._doorbell.is_asleep and not (len(self.inbox) or self._outcomes)

    def _has_work(self) -> bool:
        may_take = len(self.inbox) > 0 and not self._taking.rest and self._room() > 0
        return bool(self._outcomes) or self._closing or may_take

    def _room(self) -> int:
        if self._closing:
            return 0
        if self.inbox.flushing_for > PATIENCE:
            return CLAIM_BATCH
        return min(self._deliveries.room, CLAIM_BATCH)

    def _room_bytes(self) -> int:
        """Of one pass: several copies of it are made on its way to the database."""
        room = self._deliveries.room_bytes // COPIES
        return min(room, self._pass_bytes) if room > 0 else self._pass_bytes

    def _give_back(self, attempts: Iterable[Attempt]) -> None:
        for attempt in attempts:
            self._outcomes.add(postponed(attempt, STOPPED, "stopped", wait=0.0))

    def _finish(self, outcome: Outcome) -> None:
        self._outcomes.add(outcome)
        self._doorbell.ring()
