"""What this machine lacks is no fault of a destination and no attempt."""

import errno
import os
import resource
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
from structlog.testing import capture_logs

from herald.outbox.destination.policies import policy
from herald.pipeline.channel import Letter, NotSetUpError, PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.channels.webhook.channel import make_channel
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.deadline import Deadline, within
from herald.pipeline.deliver.lack import BELIEVED, Lack, Lacks, lack_in, longest_wait, shortage, told_apart
from herald.pipeline.deliver.retry import RetryPolicy
from tests.pipeline.channels.mail import channel_to, delivery, letter
from tests.pipeline.channels.waiting import Waiting
from tests.pipeline.deliver.test_retry import attempt
from tests.pipeline.parts import settings
from tests.proof.end_to_end.destinations import SECRET
from tests.servers.http_server import HttpServer
from tests.servers.smtp_server import SmtpServer

EMPTY = OSError(errno.EMFILE, os.strerror(errno.EMFILE))


@contextmanager
def no_descriptors() -> Iterator[None]:
    """This process can open nothing more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with ExitStack() as opened:
        highest = os.open(os.devnull, os.O_RDONLY)
        os.close(highest)
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest, hard))
        opened.callback(resource.setrlimit, resource.RLIMIT_NOFILE, (soft, hard))
        yield


def judged(error: BaseException, tried: Attempt | None = None) -> tuple[str, bool]:
    outcome = RetryPolicy(policy(settings(max_attempts=8), "webhook")).after(error, tried or attempt(3))
    return outcome.outcome, outcome.is_fault


def raised(act: Callable[[], Any]) -> BaseException:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it is
        act()
    return caught.value


def wrapped(cause: BaseException, error: BaseException, *, is_hidden: bool = False) -> BaseException:
    """As `raise error from cause` leaves it, or `from None` where it is hidden."""
    error.__context__ = cause
    error.__cause__ = None if is_hidden else cause
    return error


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (EMPTY, "descriptors"),
        (OSError(errno.ENFILE, "full"), "descriptors"),
        (OSError(errno.ENOBUFS, "no room"), "buffers"),
        (OSError(errno.EADDRNOTAVAIL, "no port"), "ports"),
        (OSError(errno.ENOMEM, "no memory"), "memory"),
        (MemoryError(), "memory"),
        (RuntimeError("can't start new thread"), "threads"),
        (socket.gaierror(socket.EAI_MEMORY, "Memory allocation failure"), "memory"),
        (wrapped(EMPTY, TemporaryError("no connection")), "descriptors"),
        (wrapped(EMPTY, TemporaryError("cannot be used"), is_hidden=True), "descriptors"),
        (wrapped(EMPTY, PermanentError("the handler gave up")), "descriptors"),
        (BaseExceptionGroup("both", [ValueError(), EMPTY]), "descriptors"),
        (NotSetUpError("HERALD_SMTP_HOST is not set", channel="email"), "settings"),
        (wrapped(NotSetUpError("no channel is named 'x'"), PermanentError("the handler gave up")), "settings"),
    ],
)
def test_a_lack_of_this_machine_is_given_back_and_blames_nobody(error: BaseException, kind: str) -> None:
    lack = lack_in(error)

    assert lack is not None
    assert lack.kind == kind
    assert judged(error) == ("postponed", False)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        TimeoutError("timed out"),
        socket.gaierror(socket.EAI_NONAME, "Name or service not known"),
        RuntimeError("can't start the engine"),
        TemporaryError("HTTP 503"),
        TypeError("a handler's mistake"),
    ],
)
def test_what_a_destination_or_a_handler_does_is_no_lack(error: BaseException) -> None:
    assert lack_in(error) is None
    assert judged(error) == ("failed", True)


def test_an_unknown_outcome_stays_one_and_blames_nobody() -> None:
    error = wrapped(MemoryError(), UnknownOutcomeError("cut off"))

    assert judged(error) == ("unknown", False)


def test_an_error_that_hides_its_cause_is_a_lack_where_nothing_can_be_opened() -> None:
    hiding = socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    with no_descriptors():
        assert judged(hiding) == ("postponed", False)
        assert judged(wrapped(hiding, TemporaryError("the host name cannot be resolved"))) == ("postponed", False)
        assert judged(ConnectionRefusedError(errno.ECONNREFUSED, "refused")) == ("failed", True)
    assert judged(hiding) == ("failed", True)


@pytest.mark.parametrize("error", [MemoryError(), OSError(errno.EADDRNOTAVAIL, "no port")])
def test_a_lack_that_may_be_the_messages_own_is_believed_so_often_and_no_longer(error: BaseException) -> None:
    assert judged(error, attempt(BELIEVED, uncounted=BELIEVED - 1))[0] == "postponed"
    assert judged(error, attempt(BELIEVED + 1, uncounted=BELIEVED)) == ("failed", False)
    assert judged(EMPTY, attempt(BELIEVED + 1, uncounted=BELIEVED))[0] == "postponed"


def test_an_address_of_ipv6_on_a_machine_without_it_is_no_lack_of_ports() -> None:
    none = OSError(errno.EADDRNOTAVAIL, "Cannot assign requested address")

    assert lack_in(told_apart(none, socket.AF_INET6)) is None
    assert lack_in(told_apart(none, socket.AF_INET)) is not None


def test_the_wait_grows_with_each_time_it_was_given_back() -> None:
    times = (0, 1, 2, 6, 7, 10_000)

    assert [longest_wait(time, "memory") for time in times] == [1.0, 2.0, 4.0, 64.0, 64.0, 64.0]
    assert [longest_wait(time, "settings") for time in times] == [1.0, 2.0, 4.0, 64.0, 128.0, 300.0]


def test_an_error_that_is_its_own_cause_is_looked_at_once() -> None:
    error = ValueError()
    error.__cause__ = error

    assert lack_in(error) is None


def test_the_log_names_the_lack_and_its_limit_once_in_half_a_minute() -> None:
    now = [1000.0]
    lacks = Lacks(clock=lambda: now[0])

    with capture_logs() as logs:
        for _ in range(5):
            lacks.note(Lack("descriptors", "Too many open files"))
        now[0] += 31.0
        lacks.note(Lack("descriptors", "Too many open files"))

    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert [(one["event"], one["limit"], one["attempts_given_back"]) for one in logs] == [
        ("machine_lacks", limit, 1),
        ("machine_lacks", limit, 5),
    ]


def test_the_log_names_each_channel_that_is_not_set_up_once_in_half_a_minute() -> None:
    lacks = Lacks(clock=lambda: 1000.0)

    with capture_logs() as logs:
        for channel in ("email", "webhook", "email"):
            lacks.note(Lack("settings", f"{channel} has none", channel))

    assert [(one["event"], one["channel"], one["reason"]) for one in logs] == [
        ("not_set_up", "email", "email has none"),
        ("not_set_up", "webhook", "webhook has none"),
    ]


def test_a_webhook_without_descriptors_is_given_back() -> None:
    socket.getaddrinfo("127.0.0.1", 80)  # what a first look-up opens is open: the connection itself is what fails
    with HttpServer() as server:
        channel = Waiting(make_channel(settings(webhook_secrets={"*": [SECRET]}, webhook_networks=("127.0.0.0/8",))))
        letter_to = Letter(address=server.url(), user_id="42", event="greeted", subject=None, content="", data=b"{}")

        with no_descriptors():
            error = raised(lambda: channel.deliver(letter_to, delivery()))

        channel.close()
        assert str(error) == "no connection: Too many open files"
        assert judged(error) == ("postponed", False)
        assert server.received == []


def test_a_mail_without_descriptors_is_given_back() -> None:
    with SmtpServer() as server:
        channel = channel_to(server)

        with no_descriptors():
            error = raised(lambda: channel.deliver(letter("ada@example.com"), delivery()))

        channel.close()
        assert judged(error) == ("postponed", False)


def test_a_handler_without_descriptors_is_given_back() -> None:
    with no_descriptors():
        error = raised(socket.socket)

    assert judged(error) == ("postponed", False)


def test_a_thread_that_cannot_be_started_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        message = "can't start new thread"
        raise RuntimeError(message)

    monkeypatch.setattr(threading.Thread, "start", refuse)
    error = raised(lambda: within(Deadline(1.0), lambda: None))

    assert judged(error) == ("postponed", False)


def test_nothing_is_short_on_a_machine_that_is_well() -> None:
    assert shortage() is None
