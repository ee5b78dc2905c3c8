"""Answers byte by byte: what of them counts, what bounds them, and whose they are."""

import asyncio
import gc
import io
import re
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from typing import Any

import pytest

from herald.pipeline.channel import PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.channels.webhook.network import MOST_OF_HEAD
from herald.pipeline.deliver import dialling
from herald.pipeline.deliver.lack import THREADS, lack_in
from tests.pipeline.channels.waiting import Waiting
from tests.pipeline.channels.webhook.test_webhook import delivery, letter, make_channel
from tests.servers.eventually import eventually

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Answering:
    """A server that answers each request with the next of these bytes; then it ends the connection, unless it `stays`.

    `requests` are the bytes of each; `open` are its connections, ended or not.
    """

    def __init__(self, *answers: bytes, stays: bool = False) -> None:
        self.answers, self.stays = list(answers), stays
        self.requests: list[bytes] = []
        self.open: list[socket.socket] = []
        self.ended = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, path: str = "/hook?a=%20b") -> str:
        return f"http://127.0.0.1:{self._listener.getsockname()[1]}{path}"

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                while self.answers and (request := self._read(connection)):
                    self.requests.append(request)
                    connection.sendall(self.answers.pop(0))
                    if not self.stays:
                        return
                connection.recv(1)
            except OSError:
                pass
            finally:
                self.ended.set()

    @staticmethod
    def _read(connection: socket.socket) -> bytes:
        found = b""
        while not (head := re.search(rb"content-length: (\d+)\r\n.*?\r\n\r\n", found, re.DOTALL)) or len(
            found
        ) < head.end() + int(head[1]):
            if not (chunk := connection.recv(65_536)):
                return b""
            found += chunk
        return found


@pytest.fixture
def channel() -> Waiting:
    return make_channel()


@pytest.fixture
def answering() -> Iterator[Callable[..., Answering]]:
    made: list[Answering] = []

    def make(*answers: bytes, **more: Any) -> Answering:
        made.append(Answering(*answers, **more))
        return made[-1]

    yield make
    for one in made:
        one.close()


def test_every_byte_of_a_request_is_as_it_was(channel: Waiting, answering: Callable[..., Answering]) -> None:
    server = answering(OK)
    made = delivery(traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")

    channel.deliver(letter(server.url()), made)

    (request,) = server.requests
    head, _, body = request.partition(b"\r\n\r\n")
    names = [line.partition(b": ")[0] for line in head.split(b"\r\n")]
    assert names == [
        b"POST /hook?a=%20b HTTP/1.1",
        *(b"host", b"user-agent", b"content-type", b"content-length", b"accept-encoding"),
        *(b"webhook-id", b"webhook-timestamp", b"webhook-signature", b"herald-attempt", b"traceparent"),
    ]
    assert f"\r\nhost: {server.url().split('/')[2]}\r\n".encode() in head
    assert f"\r\ncontent-length: {len(body)}\r\n".encode() in head
    assert body.startswith(b'{"type":"order.shipped","timestamp":"')


BAD_HEADERS = [
    b"X Bad Header: 1\r\nContent-Length: 2\r\n\r\nok",
    b"no colon at all\r\n\r\n",
    b"Content-Length: two\r\n\r\nok",
    b"Content-Length: 2\r\nContent-Length: 3\r\n\r\nok",
    b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
    b"X: \x00\r\nContent-Length: 2\r\n\r\nok",
    b"X: " + 20_000 * b"x" + b"\r\n\r\n",
    200 * b"X: y\r\n" + b"\r\n",
    b"Content-Length: 2\r\n",  # and nothing more
    b"",
]


@pytest.mark.parametrize("rest", BAD_HEADERS)
def test_a_malformed_header_hides_no_status(channel: Waiting, answering: Callable[..., Answering], rest: bytes) -> None:
    channel.deliver(letter(answering(b"HTTP/1.1 200 OK\r\n" + rest).url()), delivery())

    with pytest.raises(TemporaryError, match=r"^HTTP 503 Service Unavailable$"):
        channel.deliver(letter(answering(b"HTTP/1.1 503 No\r\n" + rest).url()), delivery())
    with pytest.raises(PermanentError, match=r"^HTTP 410 Gone"):
        channel.deliver(letter(answering(b"HTTP/1.0 410\r\n" + rest).url()), delivery())


@pytest.mark.parametrize(
    "answer", [b"", b"HTTP/1.1 20", b"HTTP/1.1 2000 OK\r\n\r\n", b"SSH-2.0-x\r\n", b"HTTP/1.1 200"]
)
def test_what_has_no_whole_status_line_is_no_answer(
    channel: Waiting, answering: Callable[..., Answering], answer: bytes
) -> None:
    with pytest.raises(UnknownOutcomeError, match="the connection broke before an answer"):
        channel.deliver(letter(answering(answer).url()), delivery())


def test_an_answer_before_the_answer_is_passed_over(channel: Waiting, answering: Callable[..., Answering]) -> None:
    early = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"

    channel.deliver(letter(answering(early + OK).url()), delivery())

    with pytest.raises(TemporaryError, match=r"^HTTP 503"):
        channel.deliver(letter(answering(early + b"HTTP/1.1 503 No\r\nbad\r\n\r\n").url()), delivery())
    with pytest.raises(UnknownOutcomeError):
        channel.deliver(letter(answering(early).url()), delivery())


def test_a_head_without_an_end_is_left_before_it_fills_the_memory(
    channel: Waiting, answering: Callable[..., Answering], read: list[int]
) -> None:
    server = answering(b"HTTP/1.1 200 OK\r\n" + 120 * (b"X: " + 8000 * b"y" + b"\r\n") + b"\r\n")

    channel.deliver(letter(server.url()), delivery())

    assert server.ended.wait(10)
    assert sum(read) < 2 * MOST_OF_HEAD


def test_what_nobody_asked_for_is_no_answer_to_the_next(channel: Waiting, answering: Callable[..., Answering]) -> None:
    """As servers and proxies send 408 over a connection that rests."""
    server = answering(OK, OK, stays=True)

    channel.deliver(letter(server.url()), delivery())
    server.open[0].sendall(b"HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n")
    assert server.ended.wait(10)
    channel.deliver(letter(server.url()), delivery())

    assert len(server.open) == 2


def test_cookies_and_proxies_of_others_are_not_kept(channel: Waiting, answering: Callable[..., Answering]) -> None:
    server = answering(OK.replace(b"\r\n\r\n", b"\r\nSet-Cookie: a=b\r\n\r\n"), OK, stays=True)

    for _ in range(2):
        channel.deliver(letter(server.url()), delivery())

    assert (b"cookie" in server.requests[1].lower(), len(server.open)) == (False, 1)


def test_who_does_not_read_is_left_at_the_deadline_with_what_was_not_sent(channel: Waiting) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        large = letter(f"http://127.0.0.1:{listener.getsockname()[1]}/", data=b'"' + b"x" * 20_000_000 + b'"')
        with pytest.raises(UnknownOutcomeError):
            channel.deliver(large, delivery(timeout=0.5))

        connection, _ = listener.accept()
        with closing(connection):
            connection.settimeout(10)
            eventually(lambda: _has_ended(connection))


def _has_ended(connection: socket.socket) -> bool:
    """Its other side sends nothing more."""
    try:
        while connection.recv(1_000_000):
            pass
    except ConnectionResetError:
        return True
    return True


LARGE = b'"' + 900_000 * b"x" + b'"'


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
def test_a_connection_that_breaks_while_it_is_written_to_leaves_nothing_of_the_message_to_the_collector(
    channel: Waiting,
) -> None:
    """It counts objects, not bytes: it would come after hundreds of calls."""

    async def break_off() -> None:
        server = await asyncio.start_server(lambda _reader, writer: writer.transport.abort(), "127.0.0.1", 0)
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        with pytest.raises(UnknownOutcomeError, match="the connection broke before an answer"):
            await channel.channel.deliver(letter(url, data=LARGE), delivery())
        await channel.channel.close()
        server.close()

    asyncio.run(break_off())

    assert not _held()


def _held() -> list[io.BytesIO]:
    """Bodies that are sent in parts. Objects are asked for their type only: a proxy runs code when asked for more."""
    found = [one for one in gc.get_objects() if issubclass(type(one), io.BytesIO) and not one.closed]
    return [one for one in found if len(one.getbuffer()) > len(LARGE)]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """The names that were looked up; no name server answers."""
    found: list[str] = []
    over = threading.Event()

    def getaddrinfo(host: str, *_: Any, **_more: Any) -> Sequence[Any]:
        found.append(host)
        over.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    yield found
    over.set()


def test_calls_to_one_name_wait_for_one_look_up(channel: Waiting, asked: list[str]) -> None:
    """A name whose servers are silent holds one thread, however many calls go there."""
    late: list[BaseException] = []

    def call() -> None:
        with pytest.raises(TemporaryError, match="the resolver did not answer in time") as caught:
            channel.deliver(letter("http://hooks.example.com/"), delivery(timeout=0.5))
        late.append(caught.value)

    threads = [threading.Thread(target=call) for _ in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)

    assert (len(late), asked) == (10, ["hooks.example.com"])


def test_look_ups_that_outlive_their_calls_are_bounded_and_what_is_beyond_blames_nobody(
    channel: Waiting, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialling, "MOST_LOOK_UPS", 2)
    for host in ("a", "b"):
        with pytest.raises(TemporaryError, match="the resolver did not answer in time"):
            channel.deliver(letter(f"http://{host}.example.com/"), delivery(timeout=0.1))

    with pytest.raises(RuntimeError, match="2 names are being looked up") as caught:
        channel.deliver(letter("http://c.example.com/"), delivery())

    lack = lack_in(caught.value)
    assert lack is not None
    assert (lack.kind, asked) == (THREADS, ["a.example.com", "b.example.com"])
