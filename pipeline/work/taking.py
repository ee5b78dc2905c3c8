"""Records taken out of the inbox and read, as far as reading is possible at all.

Reading asks Kafka and the database. Where they do not answer, or where this machine lacks the memory, no record is at
fault: those not read go back to the front of the inbox, and are read again after a rest, which grows. An outage that
lasts ends the process.
"""

from collections.abc import Callable
from time import monotonic
from typing import NamedTuple
from uuid import UUID

import structlog

from herald.pipeline.consume.dead_letters import Letter
from herald.pipeline.consume.inbox import Inbox
from herald.pipeline.consume.intake import Intake
from herald.pipeline.consume.record import Arrival, Request, UndecodableError
from herald.pipeline.work.claiming import Claiming
from herald.pipeline.work.ledger import FIRST_WAIT, LONGEST_WAIT, PATIENCE

_log = structlog.get_logger()


class Taken(NamedTuple):
    """`arrivals`: how many records; `requests`: what they ask for, by message; `letters`: what asks for none."""

    arrivals: int
    requests: dict[UUID, Request]
    letters: list[Letter]


class Taking:
    """Used by one thread; `patience` and what `clock` gives are seconds."""

    def __init__(
        self,
        inbox: Inbox,
        intake: Intake,
        claiming: Claiming,
        *,
        patience: float = PATIENCE,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._inbox = inbox
        self._intake = intake
        self._claiming = claiming
        self._patience = patience
        self._clock = clock
        self._failing_since: float | None = None
        self._rest = FIRST_WAIT
        self._rests_until = float("-inf")

    @property
    def rest(self) -> float:
        """Seconds until records may be taken; 0 where nothing is in the way."""
        return max(0.0, self._rests_until - self._clock())

    def take(self, most: int, *, most_bytes: int) -> Taken:
        """The oldest records, `most` of them, of so many bytes together; none in a rest.

        Raises what has kept records from being read for as long as the patience lasts: then none is taken.
        """
        taken = Taken(0, {}, [])
        if not len(self._inbox) or self.rest:
            return taken
        arrivals = self._inbox.take(most, most_bytes=most_bytes)
        for index, arrival in enumerate(arrivals):
            try:
                is_taken = self._read(arrival, taken)
            except (Exception, SystemExit) as error:  # noqa: BLE001 - whatever it is, the intake says: an outage
                self._inbox.put_back(arrivals[index:])
                self._fail(error, has_read=index > 0)
                return taken._replace(arrivals=index)
            if not is_taken:
                self._inbox.put_back(arrivals[index:])
                return taken._replace(arrivals=index)
            self._failing_since, self._rest = None, FIRST_WAIT
        return taken._replace(arrivals=len(arrivals))

    def _read(self, arrival: Arrival, taken: Taken) -> bool:
        """Whether it is among the taken; not a message that is there already."""
        try:
            request = self._intake.read(arrival)
        except UndecodableError as verdict:
            taken.letters.append((arrival, str(verdict)))
            return True
        if request is None:
            return True
        if request.id in taken.requests:
            return False
        taken.requests[request.id] = self._claiming.routed(request)
        return True

    def _fail(self, error: BaseException, *, has_read: bool) -> None:
        now = self._clock()
        if has_read or self._failing_since is None:
            self._failing_since = now
        if now - self._failing_since >= self._patience:
            raise error
        _log.warning("records_cannot_be_read", reason=str(error) or type(error).__name__, next_try_seconds=self._rest)
        self._rests_until = now + self._rest
        self._rest = min(2 * self._rest, LONGEST_WAIT)
