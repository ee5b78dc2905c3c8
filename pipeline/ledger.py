"""What the pipeline writes: outcomes and claims, in one transaction, over one connection.

A transaction that fails on data is split in halves until the one bad record stands alone. One that
fails because the database is away is repeated on a new connection, for a while: an outage is never
a record's fault.
"""

import contextlib
import threading
from collections.abc import Callable, Sequence
from time import monotonic
from typing import TypeVar
from uuid import UUID

import msgspec
import psycopg2
import structlog
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.adoption import Foreign, Lost, adopt, is_known, read_horizon, read_reach, recover, unknown
from outbox.breakers import BreakerPolicy, report_outcomes
from outbox.claims import Claim, Record, claim
from outbox.crash_points import reach
from outbox.database import is_data_error, is_outage
from outbox.outcomes import Outcome, record_outcomes
from outbox.registry import DEAD_LETTERS
from pipeline.records import Request

PATIENCE = 60.0  # seconds an outage may last before the process ends and its supervisor takes over
FIRST_WAIT = 0.1  # seconds until the first repetition; doubled up to LONGEST_WAIT
LONGEST_WAIT = 5.0  # seconds

Refused = list[tuple[Request, str]]
Terms = Callable[[Request], Record]
T = TypeVar("T")

_log = structlog.get_logger()


class OutageError(Exception):
    """The database stayed away."""


class Written(msgspec.Struct):
    """`won`: attempts by message id; `refused`: what cannot be stored, and why."""

    won: dict[UUID, Claim]
    refused: Refused


class Ledger:
    """One connection, opened when it is needed, used by one thread.

    `lease` in seconds; an outage may last `patience` seconds, or until `stop` is set. `terms` says of a
    request, just before its claim, what a claim has to know.
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
        self._breakers = breakers
        self._lease = lease
        self._stop = stop
        self._patience = patience

    def write(self, outcomes: Sequence[Outcome], requests: Sequence[Request], terms: Terms) -> Written:
        """Record the outcomes, claim the requests by their terms; at most one of either per message.

        Raises OutageError when the database stays away.
        """
        return self._patiently(lambda connection: self._write(connection, outcomes, requests, terms))

    def read_reach(self) -> int:
        """As outbox.adoption has it. Raises OutageError when the database stays away."""
        return self._patiently(read_reach)

    def is_known(self, message: UUID) -> bool:
        """As outbox.adoption has it. Raises OutageError when the database stays away."""
        return self._patiently(lambda connection: is_known(connection, message))

    def close(self) -> None:
        """Close the connection; the next write opens another."""
        if self._connection is not None:
            with contextlib.suppress(psycopg2.Error):
                self._connection.close()
            self._connection = None

    def _patiently(self, act: Callable[[Connection], T]) -> T:
        deadline, wait = monotonic() + self._patience, FIRST_WAIT
        while True:
            try:
                self._connection = self._connection or self._connect()
                return act(self._connection)
            except psycopg2.Error as error:
                self.close()
                if not is_outage(error):
                    raise
                if self._stop.is_set() or monotonic() > deadline:
                    raise OutageError(str(error).strip()) from error
                _log.warning("database_away", reason=str(error).strip(), next_try_seconds=wait)
            self._stop.wait(wait)
            wait = min(2 * wait, LONGEST_WAIT)

    def _write(
        self, connection: Connection, outcomes: Sequence[Outcome], requests: Sequence[Request], terms: Terms
    ) -> Written:
        try:
            written = self._transact(connection, outcomes, requests, terms)
            reach("pipeline.written")
            connection.commit()
        except psycopg2.Error as error:
            if not is_data_error(error):
                raise
            connection.rollback()
            return self._halve(connection, outcomes, requests, terms, error)
        return written

    def _transact(
        self, connection: Connection, outcomes: Sequence[Outcome], requests: Sequence[Request], terms: Terms
    ) -> Written:
        if outcomes:
            record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)
            report_outcomes(connection, outcomes, self._breakers)
        if not requests:
            return Written({}, [])
        if foreign := [_foreign(request) for request in requests if request.version is None]:
            adopt(connection, foreign)
        won = self._claim(connection, requests, terms)
        lost, refused = self._lost(connection, [one for one in requests if one.version and one.id not in won])
        if lost:
            recover(connection, [_lost(request) for request in lost])
            won.update(self._claim(connection, lost, terms))
            _log.warning("requests_recovered", messages=len(lost))
        return Written(won, refused)

    def _claim(self, connection: Connection, requests: Sequence[Request], terms: Terms) -> dict[UUID, Claim]:
        return claim(connection, [terms(one) for one in requests], lease=self._lease)

    def _lost(self, connection: Connection, losers: list[Request]) -> tuple[list[Request], Refused]:
        """Of Herald's own records that won nothing: those whose message the database lost.

        What is older than its lowest partition was not lost: it had ended and left, and this is a copy read again.
        """
        missing = unknown(connection, [one.id for one in losers]) if losers else set()
        if not missing:
            return [], []
        horizon = read_horizon(connection)
        if copies := sum(one < horizon for one in missing):
            _log.info("copies_dropped", messages=copies, reason="they had ended and left with their partition")
        gone = [one for one in losers if one.id in missing and one.id >= horizon]
        refused = [(one, one.defect or "") for one in gone if one.raw is None]
        return [one for one in gone if one.raw is not None], refused

    def _halve(
        self,
        connection: Connection,
        outcomes: Sequence[Outcome],
        requests: Sequence[Request],
        terms: Terms,
        error: psycopg2.Error,
    ) -> Written:
        if outcomes and requests:
            return _joined(self._write(connection, outcomes, (), terms), self._write(connection, (), requests, terms))
        if len(requests) == 1:
            return Written({}, [(requests[0], f"PostgreSQL refuses it: {error.diag.message_primary}")])
        if len(outcomes) == 1:
            # its attempt stays open, and the end of its lease brings it back
            _log.error("outcome_refused", id=str(outcomes[0].id), reason=error.diag.message_primary)
            return Written({}, [])
        middle = max(len(outcomes), len(requests)) // 2
        return _joined(
            self._write(connection, outcomes[:middle], requests[:middle], terms),
            self._write(connection, outcomes[middle:], requests[middle:], terms),
        )


def _joined(first: Written, second: Written) -> Written:
    return Written(first.won | second.won, first.refused + second.refused)


def _foreign(request: Request) -> Foreign:
    return Foreign(
        id=request.id,
        topic=request.topic,
        key=request.key,
        data=msgspec.Raw(request.raw or b"null"),
        source=request.source,
        traceparent=request.traceparent,
        deliver_at=request.dates.deliver_at,
        deliver_by=request.dates.deliver_by,
        priority=request.dates.priority,
    )


def _lost(request: Request) -> Lost:
    return Lost(
        id=request.id,
        version=request.version or 1,
        topic=request.topic,
        key=request.key,
        data=msgspec.Raw(request.raw or b"null"),
        request=request.request,
        traceparent=request.traceparent,
        deliver_by=request.dates.deliver_by,
        priority=request.dates.priority,
    )
