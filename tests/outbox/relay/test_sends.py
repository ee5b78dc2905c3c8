"""Whoever sends in a transaction of their own wakes the relay by what they drew, and by the end of what was running."""

from collections.abc import Iterator

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute
from herald.outbox.relay.sends import Sends
from herald.outbox.relay.session import open_session
from herald.outbox.threads import Thread
from tests.outbox.acceptance.sql.callers import send
from tests.outbox.connections import connected, make_settings
from tests.servers.eventually import eventually

DEADLINE = 10.0  # seconds
LONG = 60.0  # seconds: who rests so long was not woken


@pytest.fixture
def session(database: str) -> Iterator[Connection]:
    session = open_session(make_settings(database))
    yield session
    session.close()


def test_a_relay_at_rest_is_woken_by_a_send(database: str, session: Connection) -> None:
    sends = looked_at(session)
    rest = Thread(lambda: sends.wait(session, LONG), "rest")
    rest.start()

    with connected(database) as caller:
        send(caller)
        caller.commit()
        eventually(lambda: not rest.is_alive(), DEADLINE, what="it looks at the log")


def looked_at(session: Connection) -> Sends:
    """One that knows who is running, and that nothing else is new."""
    sends = Sends()
    eventually(lambda: not sends.look(session), DEADLINE, what="nothing is new")
    return sends


def test_a_send_that_commits_late_is_looked_for_when_it_does(database: str, session: Connection) -> None:
    with connected(database) as caller:
        send(caller)
        sends = looked_at(session)
        assert not sends.look(session)

        caller.commit()

        assert sends.look(session)
        assert not sends.look(session)


def test_a_send_of_a_transaction_that_began_before_others_is_looked_for(database: str, session: Connection) -> None:
    sends = looked_at(session)
    with connected(database) as caller, connected(database) as other:
        execute(other, "SELECT pg_current_xact_id()")
        send(caller)
        eventually(lambda: not sends.look(session), DEADLINE, what="nothing is new")
        other.rollback()
        assert sends.look(session)  # for all that a relay knows it was the sender's
        assert not sends.look(session)

        caller.commit()

        assert sends.look(session)


def test_transactions_that_send_nothing_wake_nobody(database: str, session: Connection) -> None:
    sends = looked_at(session)
    with connected(database) as other:
        execute(other, "SELECT pg_current_xact_id()")
        assert not sends.look(session)
        other.commit()
        assert not sends.look(session)
