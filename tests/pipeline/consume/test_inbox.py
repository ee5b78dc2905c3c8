"""Records between Quix and the worker, bounded by bytes."""

import threading

import pytest

from herald.pipeline.consume.inbox import Doorbell, Inbox, WorkerError
from tests.pipeline.records import arrival
from tests.servers.eventually import eventually


def make_inbox(*, most_bytes: int) -> Inbox:
    return Inbox(Doorbell(), most_bytes=most_bytes)


def test_who_adds_more_than_fits_waits_until_something_is_taken() -> None:
    inbox = make_inbox(most_bytes=25)
    for _ in range(2):
        inbox.add(arrival(b"x" * 10))
    adding = threading.Thread(target=inbox.add, args=(arrival(b"x" * 10),), daemon=True)

    adding.start()
    eventually(lambda: inbox.flushing_for > 0)
    assert len(inbox) == 2
    inbox.take(1)
    adding.join(10)

    assert len(inbox) == 2


def test_a_single_larger_record_passes_alone() -> None:
    inbox = make_inbox(most_bytes=5)

    inbox.add(arrival(b"x" * 10))

    assert len(inbox.take(10, most_bytes=5)) == 1


def test_no_more_bytes_are_taken_than_were_asked_for() -> None:
    inbox = make_inbox(most_bytes=1000)
    for _ in range(5):
        inbox.add(arrival(b"x" * 10))

    taken = inbox.take(5, most_bytes=35)
    inbox.put_back(taken[1:])

    assert (len(taken), len(inbox)) == (3, 4)


def test_who_waits_for_room_is_told_when_the_worker_ends() -> None:
    inbox = make_inbox(most_bytes=15)
    inbox.add(arrival(b"x" * 10))

    def fail_once_somebody_waits() -> None:
        eventually(lambda: inbox.flushing_for > 0)
        inbox.fail(OSError("down"))

    threading.Thread(target=fail_once_somebody_waits).start()

    with pytest.raises(WorkerError, match="down"):
        inbox.add(arrival(b"x" * 10))
