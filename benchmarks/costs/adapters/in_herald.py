"""Herald as it is imported as `herald`, with the moves in a room."""

from collections.abc import Sequence
from uuid import UUID

from herald.outbox.moves.breakers import policy_of, report_outcomes
from herald.outbox.moves.claim import Record
from herald.outbox.moves.claim import claim as claim_records
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.connections import connect_watched
from herald.outbox.postgres.driver import Connection
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.settings import load_settings

_settings = load_settings()
_policy = policy_of(_settings)


def connect() -> Connection:
    return connect_watched(_settings, "herald-costs")


def claim(connection: Connection, ids: Sequence[UUID]) -> int:
    return len(claim_records(connection, [Record(one, 1, destination="log") for one in ids], lease=_settings.lease))


def record(connection: Connection, ids: Sequence[UUID]) -> None:
    outcomes = [Outcome(id=one, attempt=1, outcome="sent", destination="log") for one in ids]
    record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)
    report_outcomes(connection, outcomes, _policy)
