"""What the server does with callers that send too much, too slowly, or nothing at all."""

import asyncio
import contextlib
import resource
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import Mock

import pytest
import uvicorn
from structlog.testing import capture_logs
from uvicorn.server import ServerState

from herald.api.http.door import BACKLOG, LINGER, MOST_PIPELINED, Door, Guest, most_connections
from herald.api.http.protocol import LimitedProtocol
from herald.api.http.refusals import Refusals
from herald.api.http.resources import Budget
from tests.api.conftest import NOWHERE, make_settings
from tests.api.fakes import FakeCommitter
from tests.api.serving import GOOD, Caller, serving, status_of
from tests.servers.eventually import eventually

Serve = Callable[..., int]
HEAD = b"POST /notifications HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
MEGABYTE = 1_000_000


@pytest.fixture
def serve(committer: FakeCommitter) -> Iterator[Serve]:
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(serving(make_settings(NOWHERE, **settings), committer))


def accepted_at(port: int) -> int:
    with Caller(port) as caller:
        caller.post()
        return status_of(caller.read_head())


def admitted_at(port: int) -> Caller:
    """A connection that has had its first answer; one made a moment earlier may still be counted."""
    caller = Caller(port)
    caller.post()
    if status_of(caller.read_head()) != 202:
        caller.close()
        raise AssertionError
    return caller


@pytest.mark.parametrize("pieces", [1, 10])
def test_a_header_beyond_the_limit_is_refused(serve: Serve, pieces: int) -> None:
    with Caller(serve(max_header=2048)) as caller:
        for number in range(pieces):
            caller.sendall(
                (HEAD if number == 0 else b"") + f"X-{number}: ".encode() + b"x" * (4000 // pieces) + b"\r\n"
            )
        caller.sendall(b"\r\n")
        answer = caller.read_all()

    assert status_of(answer) == 431
    assert b"2048 bytes" in answer


@pytest.mark.parametrize("callback", ["on_url", "on_header", "on_headers_complete", "on_body"])
def test_what_cannot_be_read_for_lack_of_memory_is_not_its_clients_fault(
    serve: Serve, monkeypatch: pytest.MonkeyPatch, callback: str
) -> None:
    def lacks(*_: object) -> None:
        raise MemoryError

    port = serve()
    with monkeypatch.context() as patch:
        patch.setattr(LimitedProtocol, callback, lacks)
        with Caller(port) as caller:
            caller.post()
            answer = caller.read_all()

    assert status_of(answer) == 503
    assert accepted_at(port) == 202


@pytest.mark.parametrize("line", [b"GET http://[ HTTP/1.1", b"GET /\xff HTTP/1.1", b"GET", b"\0 / HTTP/1.1"])
def test_what_is_no_http_is_its_clients_fault(serve: Serve, line: bytes) -> None:
    with Caller(serve()) as caller:
        caller.sendall(line + b"\r\nHost: localhost\r\n\r\n")

        assert status_of(caller.read_all()) == 400


def test_a_long_header_within_the_limit_is_taken(serve: Serve) -> None:
    with Caller(serve(max_header=8192)) as caller:
        caller.sendall(HEAD + b"X-Long: " + b"x" * 7000 + b"\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD)

        assert status_of(caller.read_head()) == 202


def test_a_header_that_begins_behind_a_body_is_not_charged_for_it(serve: Serve) -> None:
    body = GOOD + b" " * 60_000
    with Caller(serve(max_header=8192)) as caller:
        caller.post(body + HEAD, length=len(body))
        caller.sendall(b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD)

        assert caller.read_all().count(b"HTTP/1.1 202") == 2


def test_a_header_beyond_the_limit_is_refused_behind_a_body_too(serve: Serve) -> None:
    with Caller(serve(max_header=2048)) as caller:
        caller.post(GOOD + HEAD + b"X-Long: " + b"x" * 4000 + b"\r\n\r\n", length=len(GOOD))
        answer = caller.read_all()

    assert (status_of(answer), answer.count(b"HTTP/1.1 431")) == (202, 1)


def test_trailers_are_bounded_too(serve: Serve) -> None:
    with Caller(serve(max_header=2048)) as caller:
        caller.sendall(HEAD + b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n0\r\nX-Trailer: " % (len(GOOD), GOOD))
        with contextlib.suppress(ConnectionError):
            caller.sendall(b"x" * MEGABYTE)

        assert status_of(caller.read_all()) == 431


@pytest.mark.parametrize("sent", [b"POST /notifications HT", HEAD + b"X-A: "])
def test_a_header_that_does_not_come_in_time_is_refused(serve: Serve, sent: bytes) -> None:
    with Caller(serve(header_timeout=0.2)) as caller:
        caller.sendall(sent)

        assert status_of(caller.read_all()) == 408


def test_a_body_that_does_not_come_in_time_is_refused_and_not_accepted(serve: Serve, committer: FakeCommitter) -> None:
    with Caller(serve(request_timeout=0.2)) as caller:
        caller.post(length=1000)

        assert status_of(caller.read_all()) == 408
    assert not committer.accepted


@pytest.mark.parametrize("ending", [b"", b"Transfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(GOOD), GOOD)])
def test_a_request_that_ends_early_is_not_accepted(serve: Serve, committer: FakeCommitter, ending: bytes) -> None:
    port = serve()
    with Caller(port) as caller:
        if ending:
            caller.sendall(HEAD + ending)
        else:
            caller.post(length=1000)

    assert accepted_at(port) == 202
    assert len(committer.accepted) == 1


def test_a_connection_that_rests_is_closed(serve: Serve) -> None:
    port = serve(idle_timeout=0.2, header_timeout=0.2)
    with Caller(port) as silent, Caller(port) as answered:
        answered.post()

        assert status_of(answered.read_all()) == 202
        assert silent.read_all() == b""


def test_where_all_connections_are_taken_the_one_that_waited_longest_makes_room(serve: Serve) -> None:
    port = serve(max_connections=4)
    with contextlib.ExitStack() as stack:
        idle, begun, *_ = [stack.enter_context(Caller(port)) for _ in range(4)]
        begun.sendall(HEAD)

        answers = [accepted_at(port) for _ in range(2)]

        assert answers == [202, 202]
        assert idle.read_all() == b""
        assert begun.fileno() > 0


def test_one_that_had_begun_is_told_why_it_has_to_go(serve: Serve) -> None:
    port = serve(max_connections=1)
    with eventually(lambda: admitted_at(port), what="one is admitted") as begun:
        begun.sendall(HEAD)
        eventually(lambda: accepted_at(port) == 202, what="another is served")

        _, _, answer = begun.read_all().rpartition(b"HTTP/1.1 ")

    assert answer.startswith(b"503")
    assert b"retry-after: " in answer


def test_bodies_beyond_the_budget_are_refused_until_there_is_room_again(committer: FakeCommitter) -> None:
    budget = Budget(4 * MEGABYTE)
    large = b'{"user_id":"1","event":"e","content":"%s"}' % (b"x" * (3 * MEGABYTE))
    with serving(make_settings(NOWHERE, max_body=4 * MEGABYTE, max_bulk_body=4 * MEGABYTE), committer, budget) as port:
        with Caller(port) as first:
            first.post(large[:-1], length=len(large))
            eventually(lambda: budget.held == len(large) - 1, what="the first is held")
            with Caller(port) as second, contextlib.suppress(ConnectionError):
                second.post(large)
                answer = second.read_all()
            small = accepted_at(port)
            first.sendall(large[-1:])
            accepted = status_of(first.read_head())
        eventually(lambda: budget.held == 0, what="what was held is given back")

    assert (status_of(answer), b"retry-after: " in answer) == (503, True)
    assert (small, accepted) == (202, 400)  # the content has more characters than one may have


def test_what_a_sender_that_left_had_sent_is_given_back(committer: FakeCommitter) -> None:
    budget = Budget(4 * MEGABYTE)
    with serving(make_settings(NOWHERE), committer, budget) as port:
        with Caller(port) as caller:
            caller.post(b"x" * MEGABYTE, length=MEGABYTE + 1)
            eventually(lambda: budget.held == MEGABYTE, what="it is held")

        eventually(lambda: budget.held == 0, what="what was held is given back")


def test_a_bulk_that_grows_beyond_the_budget_by_expansion_is_refused(committer: FakeCommitter) -> None:
    budget = Budget(4 * MEGABYTE)
    users = ",".join(str(number) for number in range(1000))
    body = b'{"items":[{"user_ids":[%s],"event":"e","content":"%s"}]}' % (users.encode(), b"x" * 5000)
    with serving(make_settings(NOWHERE), committer, budget) as port, Caller(port) as alone, Caller(port) as beside:
        alone.post(body, path="/notifications/bulk")
        first = status_of(alone.read_head())
        budget.take(1)
        beside.post(body, path="/notifications/bulk")
        second = beside.read_head()

    assert first == 202  # what is larger than all of the budget passes alone
    assert (status_of(second), b"retry-after: " in second) == (503, True)
    assert budget.held == 1


def test_a_bulk_that_with_its_own_body_exceeds_the_budget_passes_alone(committer: FakeCommitter) -> None:
    budget = Budget(MEGABYTE)
    item = b'{"user_id":"1","event":"e","content":"%s"}' % (b"x" * 5000)
    with serving(make_settings(NOWHERE), committer, budget) as port, Caller(port) as alone:
        alone.post(b'{"items":[%s]}' % b",".join([item] * 150), path="/notifications/bulk")

        assert status_of(alone.read_head()) == 202


def test_many_requests_at_once_on_one_connection_are_bounded(serve: Serve) -> None:
    with Caller(serve()) as caller:
        caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" * 1000)

        answers = caller.read_all()

    assert answers.count(b"HTTP/1.1 200") < 100


def test_those_taken_before_one_too_many_are_answered_and_then_told_why(serve: Serve) -> None:
    with Caller(serve()) as caller:
        caller.sendall(b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n" * 20)
        answer = caller.read_all()

    assert answer.count(b"HTTP/1.1 200") == MOST_PIPELINED + 1
    assert answer.rpartition(b"HTTP/1.1 ")[2].startswith(b"503 ")


def test_those_taken_before_a_body_too_large_are_answered_and_then_told_why(serve: Serve) -> None:
    with Caller(serve(max_body=4096, max_bulk_body=4096)) as caller:
        caller.sendall(
            b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
            + HEAD
            + b"Content-Length: 5000\r\n\r\n"
            + b"x" * 5000
        )
        answer = caller.read_all()

    assert (status_of(answer), answer.count(b"HTTP/1.1 413")) == (200, 1)


def test_a_second_request_that_is_refused_with_its_header_is_told_why(serve: Serve) -> None:
    with Caller(serve()) as caller:
        caller.post()
        first = caller.read_head()
        caller.sendall(b"GET http://x:y/ HTTP/1.1\r\nHost: localhost\r\n\r\n")

        assert (status_of(first), b"HTTP/1.1 400" in caller.read_all()) == (202, True)


def test_one_that_makes_room_and_does_not_read_why_is_ended() -> None:
    settings, transport = make_settings(NOWHERE, max_connections=1), Mock(spec=asyncio.Transport)
    loop = Mock(spec=asyncio.AbstractEventLoop, **{"time.return_value": 0.0})
    door = Door(settings, Budget(1))
    config = uvicorn.Config(lambda _scope, _receive, _send: None, ws="none", log_config=None)
    config.load()
    silent = LimitedProtocol(door, config=config, server_state=ServerState(), app_state={}, _loop=loop)
    silent.connection_made(transport)
    silent.data_received(HEAD)

    door.enter(Mock(spec=Guest), 2, loop)
    silent.end_if_late(LINGER + 1, door.waiting[silent])

    transport.abort.assert_called_once_with()


def test_what_is_not_http_is_refused_as_a_problem(serve: Serve) -> None:
    with Caller(serve()) as caller:
        caller.sendall(b"\x16\x03\x01 hello\r\n\r\n")
        answer = caller.read_all()

    assert status_of(answer) == 400
    assert b"application/problem+json" in answer


def test_an_upgrade_that_nobody_offers_is_answered_as_any_request(serve: Serve) -> None:
    with Caller(serve()) as caller:
        caller.sendall(
            b"GET /health/live HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )

        assert status_of(caller.read_head()) == 200


def test_fewer_connections_are_taken_where_fewer_files_may_be_open(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[Any] = []
    monkeypatch.setattr(resource, "setrlimit", lambda _what, limits: raised.append(limits))
    monkeypatch.setattr(resource, "getrlimit", lambda _what: (512, 1024))

    with capture_logs() as logs:
        connections = most_connections(make_settings(NOWHERE))

    assert raised == [(1024, 1024)]
    assert 1024 - BACKLOG - 100 < connections < 1024 - BACKLOG
    assert [log["event"] for log in logs] == ["fewer_connections"]


def test_refusals_are_counted_and_logged_now_and_then() -> None:
    refusals = Refusals()

    with capture_logs() as logs:
        for second in range(25):
            refusals.count("bodies", float(second))

    assert refusals.counts["bodies"] == 25
    assert [(log["count"], log["since_start"]) for log in logs] == [(1, 1), (10, 11), (10, 21)]
