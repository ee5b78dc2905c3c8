"""What `assert_nothing_lost` finds, where something was lost on purpose, and how it says so."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from uuid import UUID

import pytest

from herald.outbox.extensions import ExtensionError
from herald.outbox.postgres.statements import execute
from herald.pipeline.testing.clock import VirtualClock
from herald.pipeline.testing.herald import Herald
from tests.pipeline.testing.bakery import baked
from tests.pipeline.testing.conftest import CONSUMER
from tests.servers.postgres import connect_to_tables

pytestmark = pytest.mark.herald(topics=CONSUMER)
SOON = 1.0  # seconds for what will never come

Sabotage = Callable[[str], None]


@pytest.fixture
def sabotage(herald_database: str) -> Sabotage:
    """Runs a statement as the superuser who has switched the triggers off: the log can be changed."""

    def run(statement: str) -> None:
        connection = connect_to_tables(herald_database)
        with connection:
            execute(connection, "SET session_replication_role = replica")
            execute(connection, statement)
        connection.close()

    return run


@contextmanager
def found(herald: Herald, *texts: str, deadline: float = SOON) -> Iterator[None]:
    """The block breaks something; the report then has all of these texts."""
    yield
    with pytest.raises(AssertionError, match="something is lost, or not over") as caught:
        herald.assert_nothing_lost(baked, deadline=deadline)
    report = str(caught.value)
    assert [text for text in texts if text not in report] == [], report


def settled(herald: Herald, **cake: object) -> UUID:
    message = herald.post("cakes", {"customer": "ada", "layers": 2, **cake})
    herald.wait_until_settled()
    return message


def test_a_handler_that_returns_without_its_work_is_found(herald: Herald) -> None:
    swallowed = settled(herald, customer="mallory")

    with found(herald, f"message {swallowed} is sent and never arrived: its handler or channel returned without"):
        pass

    herald.assert_nothing_lost()  # nobody said what arrived


def test_what_arrives_without_a_call_is_found(herald: Herald) -> None:
    cake = settled(herald)

    with pytest.raises(
        AssertionError, match=f"message {cake} arrived 2 times, its handler or channel was called 1 time"
    ):
        herald.assert_nothing_lost(lambda: [cake, cake])


def test_a_deleted_event_is_a_gap(herald: Herald, sabotage: Sabotage) -> None:
    cake = settled(herald)

    with found(herald, f"message {cake} has a gap in its stream: versions [1, 3]", "3. ", "message.sent attempt=1"):
        sabotage("DELETE FROM outbox WHERE version = 2")


def test_a_deleted_first_event_is_a_gap_too(herald: Herald, sabotage: Sabotage) -> None:
    cake = settled(herald)

    with found(herald, f"message {cake} has a gap in its stream: versions [2, 3]", "2. ", "message.started attempt=1"):
        sabotage("DELETE FROM outbox WHERE version = 1")


def test_a_deleted_stream_is_lost(herald: Herald, sabotage: Sabotage) -> None:
    cake = settled(herald)

    with found(
        herald,
        f"message {cake} was accepted and is not in the log",
        f"message {cake} has a row in `messages` and no event in the log",
    ):
        sabotage("DELETE FROM outbox")


def test_a_row_that_is_not_the_fold_of_its_events_is_found(herald: Herald, sabotage: Sabotage) -> None:
    cake = settled(herald)

    with found(herald, f"message {cake} its row has attempts 5, its events say 1"):
        sabotage("UPDATE messages SET attempts = 5")


def test_a_missing_row_is_found(herald: Herald, sabotage: Sabotage) -> None:
    cake = settled(herald)

    with found(herald, f"message {cake} has events and no row in `messages`"):
        sabotage("DELETE FROM messages")


def test_an_attempt_without_an_outcome_is_found(herald: Herald, sabotage: Sabotage) -> None:
    cake = settled(herald)

    with found(herald, f"message {cake} attempts [1] began, outcomes are recorded of []"):
        sabotage("DELETE FROM outbox WHERE type = 'message.sent'")


def test_a_message_that_was_never_handed_over_is_found(herald: Herald, sabotage: Sabotage) -> None:
    cake = settled(herald, layers=10)

    with found(herald, f"message {cake} is sent, and no call of its handler or channel returned"):
        sabotage(
            "UPDATE outbox SET type = 'message.sent', payload = '{\"attempt\": 1}' WHERE type = 'message.dead_lettered'"
        )


def test_an_event_that_kafka_does_not_have_is_found(herald: Herald, sabotage: Sabotage) -> None:
    cake = settled(herald)

    with found(herald, f"event {cake}.2 is not on Kafka"):
        sabotage("UPDATE outbox SET topic = 'cakes' WHERE version = 2")


def test_a_record_that_nobody_took_over_is_found(herald: Herald, sabotage: Sabotage) -> None:
    topic, partition, offset = herald.publish_foreign("cakes", {"customer": "eve", "layers": 1})
    herald.wait_until_settled()

    with found(herald, f"record ('{topic}', {partition}, {offset}) is neither adopted nor on the dead letters"):
        sabotage("DELETE FROM outbox; DELETE FROM messages")


def test_a_message_that_is_not_over_is_found(herald: Herald, herald_clock: VirtualClock) -> None:
    later = herald.clock.now().replace(year=herald.clock.now().year + 1, month=1, day=1)
    cake = herald.post("cakes", {"customer": "ada", "layers": 2}, deliver_at=later)

    with found(herald, f"message {cake} is not over: scheduled (until {later.year}-01-01 "):
        pass

    herald_clock.set(later)
    herald.assert_nothing_lost(baked)


@pytest.mark.herald(topics={"nowhere": "tests.pipeline.testing.nowhere"})
def test_a_consumer_that_cannot_be_loaded_is_named(request: pytest.FixtureRequest) -> None:
    with pytest.raises(ExtensionError, match=r"tests\.pipeline\.testing\.nowhere"):
        request.getfixturevalue("herald")
