"""What the pipeline writes: outcomes and claims, in one transaction, over one connection.

A transaction that fails for the sake of one outcome or one request is narrowed down to it
(outbox/postgres/conviction.py), and that one ends alone. One that fails because the database is away, full, locked, or
not as Herald left it is repeated, on a new connection, for a while: an outage is never a record's fault.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from functools import partial
from time import monotonic
from typing import TypeVar
from uuid import UUID

import msgspec
import structlog

from herald.outbox.message.dates import ANY_TIME
from herald.outbox.message.payload import storable
from herald.outbox.moves.adopt import is_known, read_reach
from herald.outbox.moves.breakers import BreakerPolicy
from herald.outbox.moves.claim import Claim, Record
from herald.outbox.moves.record import Outcome
from herald.outbox.postgres.connections import reason
from herald.outbox.postgres.conviction import Convictions, convicts_nobody, insist, narrow, text_of
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.watched.life import waiting
from herald.pipeline.consume.record import Request
from herald.pipeline.errors import OutageError
from herald.pipeline.work.transaction import RecordOf, Refused, Transaction

PATIENCE = 60.0  # seconds an outage may last before the round ends; Kafka takes partitions away after 300
FIRST_WAIT = 0.1  # seconds until the first repetition; doubled up to LONGEST_WAIT
LONGEST_WAIT = 5.0  # seconds
# SQLSTATE classes of what passes by itself, as a lock, a full disk or a server that restarts: nothing is narrowed down
PASSES = ("08", "25", "26", "40", "53", "55", "57", "58")

T = TypeVar("T")
Item = Outcome | Request

_log = structlog.get_logger()


class Written(msgspec.Struct):
    """What was written, and what is still to be: an outage in between must cost nobody its attempt.

    `won`: attempts by message id; `refused`: what cannot be stored, and why. `replaced`: requests that were claimed
    only to end with the reason they now have.
    """

    won: dict[UUID, Claim] = {}
    refused: Refused = []
    replaced: dict[UUID, Request] = {}
    unrecorded: list[Outcome] = []
    unclaimed: list[Request] = []

    def done(self, items: Sequence[Item]) -> None:
        """These are written, or will not be."""
        over = {id(item) for item in items}
        self.unrecorded = [one for one in self.unrecorded if id(one) not in over]
        self.unclaimed = [one for one in self.unclaimed if id(one) not in over]


class Ledger:
    """One connection, opened when it is needed, used by one thread.

    `lease` in seconds; an outage may last `patience` seconds, or until `stop` is set.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        breakers: BreakerPolicy,
        *,
        lease: float,
        stop: threading.Event,
        patience: float = PATIENCE,
    ) -> None:
        self._connect = connect
        self._connection: Connection | None = None
        self._transaction = Transaction(breakers, lease=lease)
        self._convictions, self._tracebacks = Convictions(), Convictions()
        self._stop = stop
        self._patience = patience

    def write(
        self,
        outcomes: Sequence[Outcome],
        requests: Sequence[Request],
        record_of: RecordOf,
        written: Written | None = None,
    ) -> Written:
        """Record the outcomes, claim the requests; at most one of either per message.

        `record_of` says of a request, just before its claim, what that has to know. Raises OutageError when the
        database stays away, and what fails for all and is no error of the database; what was done by then is in
        `written`, if the caller has one.
        """
        written = Written() if written is None else written
        written.unrecorded, written.unclaimed = list(outcomes), list(requests)
        self._patiently(lambda connection: self._write(connection, written, record_of))
        return written

    def read_latest_date(self) -> int:
        """Up to which date an id finds a partition, in milliseconds since 1970. Raises OutageError."""
        return self._patiently(read_reach)

    def is_known(self, message: UUID) -> bool:
        """Whether the database has this message. Raises OutageError."""
        return self._patiently(lambda connection: is_known(connection, message))

    def close(self) -> None:
        """Close the connection; the next write opens another."""
        if self._connection is not None:
            with contextlib.suppress(PostgresError):
                self._connection.close()
            self._connection = None

    def _patiently(self, act: Callable[[Connection], T]) -> T:
        deadline, wait = monotonic() + self._patience, FIRST_WAIT
        while True:
            try:
                self._connection = self._connection or self._connect()
                return act(self._connection)
            except PostgresError as error:
                self.close()
                if not convicts_nobody(error):
                    raise
                if self._stop.is_set() or monotonic() > deadline:
                    raise OutageError(reason(error)) from error
                _log.warning("database_away", reason=reason(error), next_try_seconds=wait)
            with waiting():
                self._stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _write(self, connection: Connection, written: Written, record_of: RecordOf) -> None:
        """Together where that works, else the outcomes and the requests each for themselves, narrowed down."""
        act = partial(self._act, connection, written, record_of)
        try:
            act([*written.unrecorded, *written.unclaimed])
        except Exception as error:
            if _passes(error):
                raise
            self._narrow(connection, written, written.unrecorded, act)
            self._narrow(connection, written, written.unclaimed, act)

    def _act(self, connection: Connection, written: Written, record_of: RecordOf, items: Sequence[Item]) -> None:
        outcomes = [item for item in items if isinstance(item, Outcome)]
        requests = [item for item in items if isinstance(item, Request)]
        won, refused = self._transaction.write(connection, outcomes, requests, record_of)
        written.won |= won
        written.refused += refused
        written.done(items)

    def _narrow(
        self, connection: Connection, written: Written, items: Sequence[Item], act: Callable[[Sequence[Item]], None]
    ) -> None:
        if not items:
            return

        def probe() -> None:
            self._transaction.probe(connection)

        found = insist(narrow(items, act, probe), act, probe, self._stop.wait)
        for suspect in found.convicted:
            if isinstance(suspect.item, Outcome):
                self._record_plainly(connection, written, suspect.item, suspect.error)
            else:
                self._refuse(connection, written, suspect.item, suspect.error)
            written.done([suspect.item])

    def _record_plainly(self, connection: Connection, written: Written, outcome: Outcome, error: Exception) -> None:
        """What became of the attempt, without the words; if not even that, the end of its lease brings it back."""
        self._tell("outcome_refused", outcome.id, error)
        reason = "its reason could not be stored"
        plain = msgspec.structs.replace(
            outcome, reason=reason, code="unstorable_reason", destination=None, is_fault=False
        )
        self._try(connection, written, plain)

    def _refuse(self, connection: Connection, written: Written, request: Request, error: Exception) -> None:
        """A dead letter, or the end of Herald's own message, which stays pending where an error ends too many."""
        reason = storable(text_of(error))
        self._tell("request_refused", request.id, error)
        if request.version is None:
            written.refused.append((request, reason))
            return
        if convicts_nobody(error) or not self._convictions.allows(error):
            _log.error("request_left", id=str(request.id), next="it is requested again")
            return
        ended = msgspec.structs.replace(
            request, defect=reason, raw=None, data=None, error=None, destination=None, dates=ANY_TIME
        )
        if self._try(connection, written, ended):
            written.replaced[request.id] = ended
        else:
            written.refused.append((request, reason))

    def _tell(self, event: str, message: UUID, error: Exception) -> None:
        """With a traceback, for the first of a kind in a minute."""
        traceback = error if self._tracebacks.allows(error) else None
        _log.error(event, id=str(message), reason=text_of(error), exc_info=traceback)

    def _try(self, connection: Connection, written: Written, item: Item) -> bool:
        try:
            self._act(connection, written, lambda one: Record(one.id, one.request), [item])
        except Exception as error:
            if _passes(error):
                raise
            return False
        return True


def _passes(error: Exception) -> bool:
    """Whether to wait instead of asking whose fault it is: halves would each wait for the same lock."""
    return isinstance(error, MemoryError) or (
        isinstance(error, PostgresError) and (error.pgcode is None or error.pgcode.startswith(PASSES))
    )
