"""Claims, deliveries and outcomes together, on PostgreSQL."""

import threading
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import msgspec
import pytest

from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.message.notification import Notification
from herald.pipeline.channel import PermanentError, TemporaryError
from herald.pipeline.consume.decoding import NO_HANDLER
from herald.pipeline.consume.inbox import WorkerError
from herald.pipeline.consume.sink import DeliverySink
from herald.pipeline.deliver.retry import STOPPED
from herald.pipeline.topic import Draft
from herald.pipeline.topics import notifications
from herald.pipeline.work.outcomes import RETURNED
from herald.pipeline.work.worker import Worker
from tests.pipeline import parts
from tests.pipeline.fakes import FakeChannel, FakeDeadLetters
from tests.pipeline.parts import make_router, settings
from tests.pipeline.records import (
    NOTIFICATION,
    accept,
    arrival,
    new_id,
    own,
    own_headers,
    request_again,
    rows,
    statuses,
)
from tests.servers.eventually import eventually

MakeWorker = Callable[..., Worker]


@pytest.fixture
def channel() -> Iterator[FakeChannel]:
    channel = FakeChannel()
    yield channel
    channel.release()


@pytest.fixture
def dead_letters() -> FakeDeadLetters:
    return FakeDeadLetters()


@pytest.fixture
def failed() -> threading.Event:
    return threading.Event()


@pytest.fixture
def make_worker(
    database: str, channel: FakeChannel, dead_letters: FakeDeadLetters, failed: threading.Event
) -> Iterator[MakeWorker]:
    made: list[Worker] = []

    def make(*, concurrency: int = 4, url: str = database, **others: Any) -> Worker:
        found = settings(url, concurrency=concurrency, **others)
        router = make_router(channel, found=found)
        worker = parts.make_worker(found, router, dead_letters.send, on_error=failed.set)
        made.append(worker)
        return worker

    yield make
    channel.release()
    for worker in made:
        worker.close(10)


@pytest.fixture
def worker(make_worker: MakeWorker) -> Worker:
    worker = make_worker()
    worker.start()
    return worker


def test_a_lone_message_is_delivered_and_shown_as_sent_at_once(
    database: str, worker: Worker, channel: FakeChannel
) -> None:
    message = new_id()
    accept(database, message)

    worker.inbox.add(own(message))

    eventually(lambda: statuses(database) == {message: "sent"})
    assert [delivery.id for _, delivery in channel.delivered] == [message]


def test_a_flush_waits_until_everything_is_claimed_and_no_longer(
    database: str, worker: Worker, channel: FakeChannel
) -> None:
    messages = [new_id() for _ in range(3)]
    accept(database, *messages)
    channel.hold()

    for message in messages:
        worker.inbox.add(own(message))
    worker.inbox.flush(10)

    assert set(statuses(database).values()) == {"sending"}
    assert channel.delivered == []


def test_a_record_that_comes_twice_is_delivered_once(database: str, worker: Worker, channel: FakeChannel) -> None:
    message = new_id()
    accept(database, message)

    for _ in range(3):
        worker.inbox.add(own(message))
    worker.inbox.flush(10)

    eventually(lambda: statuses(database) == {message: "sent"})
    assert len(channel.delivered) == 1


def test_two_workers_that_get_the_same_record_deliver_it_once(
    database: str, make_worker: MakeWorker, channel: FakeChannel
) -> None:
    messages = [new_id() for _ in range(50)]
    accept(database, *messages)
    workers = [make_worker(), make_worker()]

    for worker in workers:
        for message in messages:
            worker.inbox.add(own(message))
        worker.start()
    for worker in workers:
        worker.inbox.flush(10)

    eventually(lambda: set(statuses(database).values()) == {"sent"})
    assert len(channel.delivered) == 50


@pytest.mark.parametrize(("error", "status"), [(TemporaryError("later"), "failed"), (PermanentError("never"), "dead")])
def test_a_delivery_that_fails_leaves_its_reason(
    database: str, worker: Worker, channel: FakeChannel, error: Exception, status: str
) -> None:
    message = new_id()
    accept(database, message)
    channel.failures["hello"] = error

    worker.inbox.add(own(message))

    eventually(lambda: statuses(database) == {message: status})
    ((reason, has_date),) = rows(database, "SELECT reason, due_at IS NOT NULL FROM messages")
    assert str(error) in reason
    assert has_date == (status == "failed")


def test_one_bad_recipient_stops_nobody_else(database: str, worker: Worker, channel: FakeChannel) -> None:
    bad, good = new_id(), new_id()
    accept(database, bad, data={"user_id": "7", "event": "e", "content": "bad"})
    accept(database, good)
    channel.failures["bad"] = PermanentError("no such address")

    worker.inbox.add(own(bad, {"user_id": "7", "event": "e", "content": "bad"}))
    worker.inbox.add(own(good))

    assert eventually(lambda: statuses(database) == {bad: "dead", good: "sent"})


def test_an_own_message_that_does_not_fit_its_topic_dies_with_the_field_as_reason(
    database: str, worker: Worker, dead_letters: FakeDeadLetters
) -> None:
    message = new_id()
    accept(database, message)

    worker.inbox.add(own(message, {"user_id": "7", "event": 5, "content": "hello"}))

    eventually(lambda: statuses(database) == {message: "dead"})
    assert "$.event" in rows(database, "SELECT reason FROM messages")[0][0]
    assert dead_letters.letters == []


def test_a_notification_of_another_producer_is_delivered_once(
    database: str, worker: Worker, channel: FakeChannel
) -> None:
    worker.inbox.add(arrival(key=None))
    worker.inbox.flush(10)
    worker.inbox.add(arrival(key=None))
    worker.inbox.flush(10)

    eventually(lambda: list(statuses(database).values()) == ["sent"])
    assert len(channel.delivered) == 1


def test_what_does_not_decode_is_dead_lettered_before_the_flush_returns(
    database: str, worker: Worker, dead_letters: FakeDeadLetters
) -> None:
    dead_letters.is_there.clear()
    worker.inbox.add(arrival(b"junk"))
    worker.inbox.add(arrival(topic="unheard_of"))
    with pytest.raises(WorkerError, match="not claimed"):
        worker.inbox.flush(0.2)
    dead_letters.is_there.set()
    worker.inbox.flush(10)

    assert [reason.partition(":")[0] for reason in dead_letters.reasons] == ["not valid JSON", NO_HANDLER]
    assert statuses(database) == {}


def test_a_record_of_a_known_message_under_another_source_is_claimed_once_and_never_adopted(
    database: str, worker: Worker, channel: FakeChannel
) -> None:
    message = new_id()
    accept(database, message)
    strange = arrival(headers=own_headers(message, ce_source=b"/another"))

    for _ in range(3):
        worker.inbox.add(strange)
    worker.inbox.flush(10)

    eventually(lambda: statuses(database) == {message: "sent"})
    assert len(channel.delivered) == 1


def test_a_record_that_nobody_can_decode_ends_alone(
    database: str, channel: FakeChannel, dead_letters: FakeDeadLetters
) -> None:
    def find_key(data: Notification) -> str:
        if data.content == "bad":
            raise LookupError("nobody foresaw it")
        return data.key

    topics = {"notifications": msgspec.structs.replace(notifications.topic, key=find_key)}
    found = settings(database)
    worker = parts.make_worker(
        found, make_router(channel, topics=topics, found=found), dead_letters.send, topics=topics
    )
    worker.start()

    worker.inbox.add(arrival({**NOTIFICATION, "content": "bad"}, offset=1))
    worker.inbox.add(arrival(offset=2))
    worker.inbox.flush(10)

    eventually(lambda: list(statuses(database).values()) == ["sent"])
    assert dead_letters.reasons == ["LookupError: nobody foresaw it"]
    worker.close(10)


def test_what_finds_no_memory_is_put_off_once_a_flush_has_waited_and_holds_up_nobody(
    database: str, make_worker: MakeWorker, channel: FakeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herald.pipeline.work.worker.PATIENCE", 0.1)
    messages = [new_id() for _ in range(3)]
    accept(database, *messages)
    channel.hold()
    worker = make_worker(memory=8_388_608)
    large = {**NOTIFICATION, "content": "x" * 900_000}
    worker.start()

    for number, message in enumerate(messages):
        worker.inbox.add(own(message, large, key=str(number).encode()))
        if not number:
            assert channel.entered.acquire(timeout=10)
    worker.inbox.flush(10)

    found = sorted(statuses(database).values())
    assert (found[0], found[-1]) == ("scheduled", "sending")


def test_a_draft_that_fails_for_everything_convicts_nobody_and_all_is_sent_once_it_is_mended(
    database: str, channel: FakeChannel, dead_letters: FakeDeadLetters
) -> None:
    broken = threading.Event()
    broken.set()

    def draft(notification: Notification) -> Draft:
        if broken.is_set():
            raise TypeError("takes no such argument")
        return notifications.draft(notification)

    topics = {"notifications": msgspec.structs.replace(notifications.topic, draft=draft)}
    found = settings(database, max_attempts=1)
    router = make_router(channel, topics=topics, found=found)
    worker = parts.make_worker(found, router, dead_letters.send, topics=topics)
    worker.start()
    messages = [new_id() for _ in range(5)]
    accept(database, *messages)

    for message in messages:
        worker.inbox.add(own(message))
    worker.inbox.flush(10)
    eventually(lambda: set(statuses(database).values()) == {"scheduled"})
    broken.clear()
    request_again(database, *messages)
    for message in messages:
        worker.inbox.add(own(message, request=2))

    eventually(lambda: set(statuses(database).values()) == {"sent"})
    worker.close(10)


def test_messages_of_one_key_are_delivered_in_the_order_of_their_records(
    database: str, worker: Worker, channel: FakeChannel
) -> None:
    messages = [new_id() for _ in range(200)]
    accept(database, *messages)

    for message in messages:
        worker.inbox.add(own(message))

    eventually(lambda: set(statuses(database).values()) == {"sent"})
    assert [delivery.id for _, delivery in channel.delivered] == messages


def test_messages_of_one_key_that_are_claimed_together_are_delivered_as_they_were_accepted(
    database: str, make_worker: MakeWorker, channel: FakeChannel
) -> None:
    first, second, other = new_id(), new_id(), new_id()
    accept(database, first, second)
    accept(database, other, key="8")
    worker = make_worker(concurrency=1)
    for message, key in ((second, b"7"), (other, b"8"), (first, b"7")):  # the first was requested again
        worker.inbox.add(own(message, key=key))

    worker.start()

    eventually(lambda: set(statuses(database).values()) == {"sent"})
    order = [delivery.id for _, delivery in channel.delivered]
    assert order.index(first) < order.index(second)


def test_a_slow_destination_does_not_hold_up_another_key(database: str, worker: Worker, channel: FakeChannel) -> None:
    slow, other = new_id(), new_id()
    accept(database, slow)
    channel.hold()
    worker.inbox.add(own(slow))
    assert channel.entered.acquire(timeout=10)

    accept(database, other, key="8")
    worker.inbox.add(own(other, key=b"8"))

    assert channel.entered.acquire(timeout=10)


def test_everything_is_claimed_and_held_while_every_slot_is_busy(
    database: str, make_worker: MakeWorker, channel: FakeChannel
) -> None:
    worker = make_worker(concurrency=2)
    messages = claim_more_than_fits(database, worker, channel)

    worker.inbox.flush(10)

    assert statuses(database) == dict.fromkeys(messages, "sending")
    channel.release()
    eventually(lambda: statuses(database) == dict.fromkeys(messages, "sent"))


def claim_more_than_fits(database: str, worker: Worker, channel: FakeChannel) -> list[UUID]:
    """Five messages of five users for two slots; returns when both are busy."""
    messages = [new_id() for _ in range(5)]
    accept(database, *messages)
    channel.hold()
    for number, message in enumerate(messages):
        worker.inbox.add(own(message, key=str(number).encode()))
    worker.start()
    assert all(channel.entered.acquire(timeout=10) for _ in range(2))
    return messages


def test_closing_waits_for_deliveries_under_way_and_records_them(
    database: str, worker: Worker, channel: FakeChannel
) -> None:
    message = new_id()
    accept(database, message)
    channel.hold()
    worker.inbox.add(own(message))
    assert channel.entered.acquire(timeout=10)

    threading.Timer(0.05, channel.release).start()
    worker.close(10)

    assert statuses(database) == {message: "sent"}


def test_closing_gives_back_what_was_held(database: str, worker: Worker, channel: FakeChannel) -> None:
    under_way, held = new_id(), new_id()
    accept(database, under_way, held)
    channel.hold()
    for message in (under_way, held):
        worker.inbox.add(own(message))
    worker.inbox.flush(10)
    assert channel.entered.acquire(timeout=10)

    threading.Timer(0.05, channel.release).start()
    worker.close(10)

    assert statuses(database) == {under_way: "sent", held: "scheduled"}
    assert rows(database, "SELECT reason FROM messages WHERE status = 'scheduled'") == [(STOPPED,)]


def test_a_partition_is_handed_over_once_what_is_claimed_of_it_has_begun(
    database: str, worker: Worker, channel: FakeChannel
) -> None:
    first, second = new_id(), new_id()
    accept(database, first, second)
    channel.hold()
    for message in (first, second):
        worker.inbox.add(own(message))
    worker.inbox.flush(10)
    assert channel.entered.acquire(timeout=10)

    first_may_end = threading.Event()

    def let_it_end() -> None:
        first_may_end.set()
        channel.release()

    threading.Timer(0.1, let_it_end).start()
    worker.hand_over()

    assert first_may_end.is_set()
    assert channel.entered.acquire(timeout=10), "the second has begun"


def test_a_partition_does_not_wait_for_ever(
    database: str, worker: Worker, channel: FakeChannel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("herald.pipeline.work.worker.HAND_OVER", 0.1)
    messages = [new_id(), new_id()]
    accept(database, *messages)
    channel.hold()
    for message in messages:
        worker.inbox.add(own(message))
    worker.inbox.flush(10)

    worker.hand_over()

    assert statuses(database) == dict.fromkeys(messages, "sending")


def test_the_workers_end_is_told_to_whoever_adds_or_flushes(make_worker: MakeWorker, failed: threading.Event) -> None:
    worker = make_worker(url="postgresql://nobody@127.0.0.1:1/nowhere")
    sink = DeliverySink(worker.inbox, TopicNames())
    worker.start()

    worker.inbox.add(own(new_id()))

    assert failed.wait(10)
    with pytest.raises(WorkerError, match="refused"):
        sink.flush()
    with pytest.raises(WorkerError):
        worker.inbox.add(own(new_id()))


def test_a_flush_that_is_not_answered_in_time_commits_nothing(make_worker: MakeWorker) -> None:
    worker = make_worker()
    worker.inbox.add(own(new_id()))

    with pytest.raises(WorkerError, match="1 records are not claimed"):
        worker.inbox.flush(0.01)


def test_one_pass_returns_what_it_settled(database: str, make_worker: MakeWorker) -> None:
    worker = make_worker()
    messages = [new_id(), new_id()]
    accept(database, *messages)
    for message in messages:
        worker.inbox.add(own(message))

    assert worker.work() == 2


def test_what_a_failing_destination_gives_back_does_not_hold_up_the_outcomes_of_others(
    database: str, make_worker: MakeWorker, channel: FakeChannel
) -> None:
    worker = make_worker(concurrency=1)
    messages = claim_many(database, worker, channel, 3 * RETURNED)
    assert channel.entered.acquire(timeout=10)
    worker._give_back(worker._deliveries.abandon())  # noqa: SLF001 - as when its destination fails
    channel.release()
    eventually(lambda: len(channel.delivered) == 1)

    settled = [worker.work() for _ in range(3)]

    assert settled == [RETURNED + 1, RETURNED, RETURNED - 1]
    assert list(statuses(database).values()).count("sent") == 1
    assert list(statuses(database).values()).count("scheduled") == len(messages) - 1


def claim_many(database: str, worker: Worker, channel: FakeChannel, count: int) -> list[UUID]:
    """So many messages of different users, all claimed; the channel holds the first."""
    messages = [new_id() for _ in range(count)]
    accept(database, *messages)
    channel.hold()
    for number, message in enumerate(messages):
        worker.inbox.add(own(message, key=str(number).encode()))
    assert worker.work() == count
    return messages
