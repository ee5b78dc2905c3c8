"""What one transaction of the worker does: outcomes recorded, what others wrote adopted, requests claimed."""

import contextlib
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import msgspec
import structlog

from herald.outbox.crash_points import reach
from herald.outbox.moves.adopt import Foreign, Lost, adopt, read_horizon, recover, unknown
from herald.outbox.moves.breakers import BreakerPolicy, report_outcomes
from herald.outbox.moves.claim import Claim, Record, claim
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.watched.pipeline import WRITE_SECONDS
from herald.pipeline.consume.headers import by_name, origin
from herald.pipeline.consume.identity import adoption_id
from herald.pipeline.consume.record import Request
from herald.pipeline.deliver.noting import note_late

RecordOf = Callable[[Request], Record]  # what a claim has to know of a request
Won = dict[UUID, Claim]
Refused = list[tuple[Request, str]]

_PROBE = "probe"
_log = structlog.get_logger()


class Transaction:
    """The statements, over a connection that the caller has; `lease` in seconds."""

    def __init__(self, breakers: BreakerPolicy, *, lease: float) -> None:
        self._breakers = breakers
        self._lease = lease

    @WRITE_SECONDS.time()
    def write(
        self, connection: Connection, outcomes: Sequence[Outcome], requests: Sequence[Request], record_of: RecordOf
    ) -> tuple[Won, Refused]:
        """All of it, committed, or nothing: then the connection is usable, if it lives.

        At most one of either per message. Returns what was won, and what of Herald's own can be neither claimed nor
        stored. Raises whatever fails.
        """
        late: list[Outcome] = []
        try:
            written = self._transact(connection, outcomes, requests, record_of, late)
            reach("pipeline.written")
            connection.commit()
        except BaseException:
            _undo(connection)
            raise
        note_late(late)
        return written

    def probe(self, connection: Connection) -> None:
        """Do the same with data that is known to be good, and undo it. Raises what keeps any from being written."""
        try:
            date = int(1000 * read_clock(connection).timestamp())
            good, lost = (adoption_id((_PROBE, kind, date), timestamp=date) for kind in ("good", "lost"))
            data = msgspec.Raw(b"{}")
            adopt(connection, [Foreign(id=good, topic=_PROBE, key=None, data=data, source=_PROBE)])
            claim(connection, [Record(good, 1, destination=_PROBE)], lease=self._lease)
            unknown(connection, [lost])
            read_horizon(connection)
            recover(connection, [Lost(id=lost, version=1, topic=_PROBE, key=None, data=data, request=1)])
            outcome = Outcome(id=good, attempt=1, outcome="sent", destination=_PROBE)
            record_outcomes(connection, [outcome], dead_letters=DEAD_LETTERS)
            report_outcomes(connection, [outcome], self._breakers)
        finally:
            _undo(connection)

    def _transact(
        self,
        connection: Connection,
        outcomes: Sequence[Outcome],
        requests: Sequence[Request],
        record_of: RecordOf,
        late: list[Outcome],
    ) -> tuple[Won, Refused]:
        if outcomes:
            changed_nothing = record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)
            late += [one for one in outcomes if one.id in changed_nothing]
            report_outcomes(connection, outcomes, self._breakers)
        if not requests:
            return {}, []
        if foreign := [_foreign(request) for request in requests if request.version is None]:
            adopt(connection, foreign)
        won = self._claim(connection, requests, record_of)
        lost, refused = self._lost(connection, [one for one in requests if one.version and one.id not in won])
        if lost:
            recover(connection, [_lost(request) for request in lost])
            won.update(self._claim(connection, lost, record_of))
            _log.warning("requests_recovered", messages=len(lost))
        return won, refused

    def _claim(self, connection: Connection, requests: Sequence[Request], record_of: RecordOf) -> Won:
        return claim(connection, [record_of(one) for one in requests], lease=self._lease)

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


def _undo(connection: Connection) -> None:
    with contextlib.suppress(PostgresError):  # it is gone: whoever waits for it notices
        connection.rollback()


def _foreign(request: Request) -> Foreign:
    return Foreign(**_common(request), source=request.source, deliver_at=request.dates.deliver_at)


def _lost(request: Request) -> Lost:
    common = {**_common(request), "traceparent": origin(by_name(request.arrival))}
    return Lost(**common, version=request.version or 1, request=request.request)


def _common(request: Request) -> dict[str, Any]:
    return {
        "id": request.id,
        "topic": request.topic,
        "key": request.key,
        "data": msgspec.Raw(request.raw or b"null"),
        "traceparent": request.traceparent,
        "deliver_by": request.dates.deliver_by,
        "priority": request.dates.priority,
    }
