"""A topic that refuses records for a while ends no message; a record that is at fault ends alone."""

import contextlib
import threading
from secrets import token_hex
from uuid import UUID

import pytest
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from herald.outbox.kafka.clients import make_admin
from herald.outbox.moves.accept import make_acceptance
from herald.outbox.postgres.conviction import CONVICTION_SPAN, MOST_CONVICTIONS
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay import cursor as cursors
from herald.outbox.relay.catching_up import CatchingUp
from herald.outbox.relay.errors import WithheldError
from herald.outbox.relay.in_flight import InFlight
from herald.outbox.relay.judging import SCOUT, Judge
from herald.outbox.relay.publisher import Publisher
from herald.outbox.relay.reader import Limits, Page, read_page
from herald.outbox.relay.session import open_session
from herald.outbox.relay.withheld import WHOLE, Part, load_withheld, withhold
from herald.outbox.settings import Settings
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, make_settings, notification
from tests.outbox.relay.fake_producer import FakeBrokers, use_fake_producers
from tests.outbox.relay.test_relay import Topic, ids
from tests.servers.eventually import eventually

LOW, HIGH = "900", "1000000"  # bytes
TOO_LARGE = "Broker: Message size too large"


class Now:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 1_000.0

    def __call__(self) -> float:
        return self.seconds


def sentences(judge: Judge, count: int, *, takes_others: bool, is_alone: bool = False) -> list[str]:
    return [
        judge.sentence("notifications", TOO_LARGE, takes_others=takes_others, is_alone=is_alone) for _ in range(count)
    ]


def test_above_twenty_a_minute_what_a_topic_refuses_beside_others_is_set_aside() -> None:
    now = Now()
    judge = Judge(now)

    found = sentences(judge, MOST_CONVICTIONS + 2, takes_others=True)
    now.seconds += CONVICTION_SPAN + 1

    assert found == ["ends"] * MOST_CONVICTIONS + ["set aside"] * 2
    assert sentences(judge, 1, takes_others=True) == ["ends"]


def test_of_a_topic_that_takes_nothing_all_wait_and_one_that_is_alone_is_set_aside_after_a_minute() -> None:
    now = Now()
    judge = Judge(now)

    at_once = sentences(judge, 2, takes_others=False, is_alone=True)
    now.seconds += SCOUT

    assert at_once == ["waits", "waits"]
    assert sentences(judge, 2, takes_others=False) == ["waits", "waits"]
    assert sentences(judge, 2, takes_others=False, is_alone=True) == ["set aside", "waits"]


@pytest.fixture
def settings(database: str, kafka: str) -> Settings:
    return make_settings(database, KAFKA_BOOTSTRAP_SERVERS=kafka)


@pytest.fixture
def admin(settings: Settings) -> AdminClient:
    """Of a Kafka whose topic takes small records only."""
    admin = make_admin(settings)
    small = NewTopic("notifications", 1, 1, config={"max.message.bytes": LOW})
    admin.create_topics([small])["notifications"].result(10)
    return admin


def limit(admin: AdminClient, most: str) -> None:
    entry = ConfigEntry("max.message.bytes", most, incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.TOPIC, "notifications", incremental_configs=[entry])
    admin.incremental_alter_configs([resource])[resource].result(10)


def large(connection: Connection, count: int) -> list[UUID]:
    """Messages that do not fit."""
    return accepted(connection, *(notification(content=incompressible()) for _ in range(count)))


def incompressible() -> str:
    return token_hex(1_500)


@pytest.mark.kafka
def test_a_topic_whose_limit_is_lowered_for_a_while_ends_no_message_and_holds_up_no_other(
    database: str, kafka: str, admin: AdminClient, connection: Connection, start_herald: StartHerald
) -> None:
    messages = large(connection, MOST_CONVICTIONS + 10)
    other = accepted(connection, make_acceptance("generic_topic", None, b"{}"))
    relay = start_herald("relay", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=kafka)
    relay.wait_for('"withheld"', 30)
    elsewhere = Topic(kafka, "generic_topic")
    eventually(lambda: set(elsewhere.subjects()) == set(ids(other)), 20)
    relay.wait_for("still_withheld", 20)

    limit(admin, HIGH)

    topic = Topic(kafka)
    eventually(lambda: set(topic.subjects()) == set(ids(messages)), 30)
    assert fetch(connection, "SELECT DISTINCT status FROM messages") == [("pending",)]
    assert fetch(connection, "SELECT count(*) FROM set_aside") == [(0,)]


def settled(publisher: Publisher, page: Page) -> InFlight:
    publisher.publish(page)
    found: list[InFlight] = eventually(lambda: publisher.take_settled(0.1), 20)
    return found[0]


def test_of_a_page_that_a_topic_refuses_one_record_a_minute_is_set_aside_until_it_takes_another(
    database: str, settings: Settings, connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    brokers, now, part = FakeBrokers(most=int(LOW)), Now(), Part("notifications", WHOLE, 0)
    use_fake_producers(monkeypatch, brokers)
    judge = Judge(now)
    large(connection, 3)
    accepted(connection, *(notification() for _ in range(7)))
    session = open_session(make_settings(database))
    withhold(session, cursors.load(session), {part: TOO_LARGE})
    found = []

    for _ in range(4):
        known = load_withheld(session, cursors.load(session))
        catching_up = CatchingUp(settings, known, Limits(3), lambda: None, judge=judge)
        with contextlib.suppress(WithheldError):
            catching_up.finish(session, part, threading.Event())
        found.append((fetch(session, "SELECT count(*) FROM set_aside")[0][0], brokers.taken["notifications"]))
        now.seconds += SCOUT

    assert found == [(0, 0), (1, 0), (2, 0), (3, 7)]
    assert load_withheld(session, cursors.load(session)) == []
    session.close()


@pytest.mark.kafka
@pytest.mark.usefixtures("admin")
def test_of_equal_records_the_one_that_was_refused_is_found(
    database: str, settings: Settings, connection: Connection
) -> None:
    taken, refused = accepted(connection, notification(), notification())
    session = open_session(make_settings(database))
    page = read_page(session, cursors.load(session), Limits(10))
    session.close()
    first, second = page.rows
    heavy = (*second[:8], incompressible(), second[9])  # its header is too large, and no report carries headers
    publisher = Publisher(settings, is_careful=True, judge=Judge())

    found = settled(publisher, Page([first, heavy], page.cursor))

    assert [row[0] for row, _ in found.refused] == [str(refused)]
    assert first[0] == str(taken)
    publisher.abandon()


@pytest.mark.kafka
@pytest.mark.usefixtures("admin")
def test_a_topic_that_takes_none_of_a_page_is_withheld(
    database: str, settings: Settings, connection: Connection
) -> None:
    large(connection, 2)
    session = open_session(make_settings(database))
    page = read_page(session, cursors.load(session), Limits(10))
    session.close()
    publisher = Publisher(settings, is_careful=True, judge=Judge())

    with pytest.raises(WithheldError, match="too large"):
        settled(publisher, page)
    publisher.abandon()
