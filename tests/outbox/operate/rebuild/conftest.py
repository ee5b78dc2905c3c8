"""A log with something of everything in it, and the command."""

from functools import partial
from uuid import UUID

import msgspec
import pytest

from herald.outbox.moves.accept import make_acceptance
from herald.outbox.moves.adopt import Foreign, adopt
from herald.outbox.moves.cancel import cancel
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.decide import Edit, requeue
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.operate.rebuild.command import command
from herald.outbox.postgres.driver import Connection
from herald.outbox.registry import DEAD_LETTERS
from tests.outbox.connections import accepted, notification
from tests.outbox.operate.conftest import Run

Rebuild = Run
ODD = b'{"exact": 0.10000000000000000000001, "large": 123456789012345678901234567890, "text": "a\\\\b\\t\\n\\"\\u00e9"}'


@pytest.fixture
def rebuild(run: Run) -> Run:
    """Run the command."""
    return partial(run, command)


@pytest.fixture
def stored(connection: Connection) -> list[UUID]:
    """Messages in many states, with data and texts that are easily spoilt on their way."""
    odd = make_acceptance("generic_topic", "tab\tand\\N and\nline\r", ODD)
    plain = [make_acceptance("generic_topic", None, b"[]"), *(notification(f"user {n}") for n in range(5))]
    messages = accepted(connection, odd, *plain)
    sent, failed, dead, cancelled = messages[:4]
    adopt(connection, [Foreign(id=messages[0], topic="generic_topic", key=None, data=msgspec.Raw(b"1"), source="/x")])
    claim(connection, [Record(one, 1, "log") for one in (sent, failed, dead)], lease=60)
    connection.commit()
    outcomes = [
        Outcome(id=sent, attempt=1, outcome="sent"),
        Outcome(id=failed, attempt=1, outcome="failed", reason="a\\b\tc", retry_in=9.5),
        Outcome(id=dead, attempt=1, outcome="dead", reason="no\nsuch"),
    ]
    record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)
    connection.commit()
    requeue(connection, [dead], edit=Edit(msgspec.Raw(ODD), "new key"))
    cancel(connection, cancelled)
    connection.commit()
    return messages
