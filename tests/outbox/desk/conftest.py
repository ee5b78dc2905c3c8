"""Dead letters to decide about."""

from collections.abc import Callable, Iterator
from uuid import UUID

import pytest

from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.record import Kind, Outcome, record_outcomes
from herald.outbox.postgres.driver import Connection
from herald.outbox.registry import DEAD_LETTERS
from tests.outbox.connections import accepted, compared, notification

HOOK = "webhook:hooks.example.com"
Bury = Callable[..., list[UUID]]


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with compared(database) as connection:
        yield connection


@pytest.fixture
def bury(connection: Connection) -> Bury:
    """Call it with a reason and how many: messages that were tried once and are on the desk."""

    def bury(
        reason: str = "HTTP 500", count: int = 1, *, kind: Kind = "dead", destination: str = HOOK, user: str = "ada"
    ) -> list[UUID]:
        messages = accepted(connection, *(notification(user) for _ in range(count)))
        claim(connection, [Record(message, 1, destination=destination) for message in messages], lease=60)
        outcomes = [Outcome(id=message, attempt=1, outcome=kind, reason=reason) for message in messages]
        record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)
        connection.commit()
        return messages

    return bury
