"""The proxy of the tests does to a connection what a network can do."""

import socket
from collections.abc import Iterator
from contextlib import closing
from time import monotonic

import pytest

from herald.outbox.postgres.driver import OperationalError, connect_plainly
from herald.outbox.postgres.statements import execute, fetch_value
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer
from tests.servers.postgres import PostgresServer
from tests.servers.proxy import Proxy

REQUEST = b"POST /ok HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nask"
SILENCE = 0.3  # seconds without an answer that show there is none
PATIENCE = 20.0  # seconds


@pytest.fixture
def http() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


@pytest.fixture
def proxy(http: HttpServer) -> Iterator[Proxy]:
    with Proxy(http.port) as proxy:
        yield proxy


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with closing(opened(proxy)) as client:
        assert ask(client).startswith(b"HTTP/1.1 200")
        yield client


def opened(proxy: Proxy) -> socket.socket:
    return socket.create_connection(("127.0.0.1", proxy.port), timeout=PATIENCE)


def ask(client: socket.socket) -> bytes:
    client.sendall(REQUEST)
    return client.recv(1000)


def is_silent(client: socket.socket) -> bool:
    client.settimeout(SILENCE)
    try:
        client.recv(1000)
    except TimeoutError:
        return True
    finally:
        client.settimeout(PATIENCE)
    return False


def test_a_cut_breaks_what_is_open_and_serves_what_is_new(proxy: Proxy, client: socket.socket) -> None:
    proxy.cut()

    with pytest.raises(ConnectionResetError):
        client.recv(1)
    with closing(opened(proxy)) as another:
        assert ask(another)


def test_what_is_refused_breaks_at_once_until_the_network_heals(proxy: Proxy, client: socket.socket) -> None:
    proxy.refuse()

    with pytest.raises(ConnectionResetError):
        client.recv(1)
    eventually(lambda: is_refused(proxy), what="a new connection breaks too")
    proxy.heal()
    with closing(opened(proxy)) as another:
        assert ask(another)


def test_what_is_held_arrives_when_the_network_heals(proxy: Proxy, client: socket.socket, http: HttpServer) -> None:
    proxy.hold()
    client.sendall(REQUEST)

    assert is_silent(client)
    assert len(http.received) == 1
    proxy.heal()

    assert client.recv(1000)
    assert len(http.received) == 2


def test_a_half_open_connection_stays_silent_for_ever_and_a_new_one_works(
    proxy: Proxy, client: socket.socket, http: HttpServer
) -> None:
    proxy.swallow()
    with closing(opened(proxy)) as begun:
        begun.sendall(REQUEST)
        assert is_silent(begun)
    proxy.heal()
    client.sendall(REQUEST)

    assert is_silent(client)
    with closing(opened(proxy)) as another:
        assert ask(another)
    assert len(http.received) == 2


def test_a_slow_network_takes_its_time_each_way(proxy: Proxy, client: socket.socket) -> None:
    proxy.slow(0.1)
    began = monotonic()

    assert ask(client)

    assert monotonic() - began >= 0.2


def test_a_severed_request_is_done_and_not_answered(proxy: Proxy, client: socket.socket, http: HttpServer) -> None:
    proxy.sever(b"ask")
    client.sendall(REQUEST)

    with pytest.raises(ConnectionResetError):
        client.recv(1000)
    assert len(http.received) == 2
    assert proxy.severed == 1
    with closing(opened(proxy)) as another:
        assert ask(another)


def test_a_commit_whose_answer_is_lost_is_committed(own_server: PostgresServer) -> None:
    own_server.execute("CREATE TABLE one (n int)")
    with Proxy(own_server.socket) as proxy:
        with closing(connect_plainly(own_server.url_by(proxy.port))) as connection:
            execute(connection, "INSERT INTO one VALUES (1)")
            proxy.sever(b"COMMIT")
            with pytest.raises(OperationalError):
                connection.commit()

        with closing(connect_plainly(own_server.url_by(proxy.port))) as connection:
            assert fetch_value(connection, "SELECT count(*) FROM one") == 1


def test_when_the_server_is_away_the_client_sees_it() -> None:
    with Proxy(1) as proxy:
        eventually(lambda: is_refused(proxy), what="the connection breaks")


def is_refused(proxy: Proxy) -> bool:
    """The reset may come before, or with, the first request."""
    try:
        with closing(opened(proxy)) as client:
            return not ask(client)
    except OSError:
        return True
