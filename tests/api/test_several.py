"""Several processes of the API behind one port, as an operator runs them."""

import contextlib
import http.client
import json
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import pytest

from herald.api.supervisor import NO_ADDRESS, listen
from herald.outbox.moves.accept import accept, make_acceptance
from herald.outbox.postgres.statements import execute, fetch_value
from herald.outbox.stopping import LEAVE
from tests.api.conftest import NOWHERE
from tests.api.serving import GOOD, Caller, status_of
from tests.conftest import StartHerald
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.ports import accepts, free_port
from tests.servers.postgres import connect_to_tables
from tests.servers.processes import is_gone, state_of

STARTED = 30.0  # seconds until two processes listen, beside whatever else the machine does


class Several:
    """`herald api` with two processes."""

    def __init__(self, process: HeraldProcess, port: int) -> None:
        self.process, self.port = process, port
        self.wait_for("api_process_listens", 2)

    def logged(self, event: str) -> list[int]:
        """The process ids of all lines about it so far."""
        found = [json.loads(line) for line in self.process.output().splitlines() if f'"{event}"' in line]
        return [line["pid"] for line in found if line["event"] == event]

    def wait_for(self, event: str, count: int = 1) -> list[int]:
        """The process ids of at least so many lines."""
        eventually(lambda: len(self.logged(event)) >= count, STARTED, what=f"{event} {count} times")
        return self.logged(event)

    @property
    def pids(self) -> list[int]:
        """Of the processes that listen."""
        return [pid for pid in self.logged("api_process_listens") if pid not in self.logged("api_process_ended")]


@pytest.fixture
def start_several(start_herald: StartHerald, database: str) -> Callable[..., Several]:
    def start(**settings: str) -> Several:
        port = free_port()
        several = {"HERALD_API_PROCESSES": "2", "HERALD_PORT": str(port)}
        return Several(start_herald("api", DATABASE_URL=database, **several, **settings), port)

    return start


def post(connection: http.client.HTTPConnection) -> int:
    """Raises OSError or HTTPException where there is no answer."""
    connection.request("POST", "/notifications", GOOD, {"content-type": "application/json"})
    answer = connection.getresponse()
    answer.read()
    return answer.status


def was_closed(connection: http.client.HTTPConnection) -> bool:
    """By the server, while this machine was busy with others for a second: clients look before they send."""
    return connection.sock is not None and bool(select.select([connection.sock], [], [], 0)[0])


@contextlib.contextmanager
def posting(port: int, *, keeps: bool) -> Iterator[list[str]]:
    """Somebody who posts all the time, over one connection or a new one each time; gives what came of it."""
    seen: list[str] = []
    stop = threading.Event()

    def go_on() -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
        while not stop.is_set():
            if not keeps or was_closed(connection):
                connection.close()
            try:
                seen.append(str(post(connection)))
            except (OSError, http.client.HTTPException) as error:
                seen.append(repr(error))
                connection.close()
        connection.close()

    with ThreadPoolExecutor(3) as callers:
        for _ in range(3):
            callers.submit(go_on)
        try:
            yield seen
        finally:
            stop.set()


def test_nobody_is_refused_or_cut_off_while_processes_are_replaced_one_by_one(
    start_several: Callable[..., Several], database: str
) -> None:
    several = start_several()
    before = several.pids

    with posting(several.port, keeps=True) as kept, posting(several.port, keeps=False) as new:
        several.process.send(signal.SIGHUP)
        several.wait_for("api_process_listens", 4)
        eventually(lambda: all(map(is_gone, before)), STARTED, what="those of before are gone")

    until_the_first_stops, _, _ = several.process.output().partition('"Shutting down"')
    assert until_the_first_stops.count('"api_process_listens"') == 3
    assert (set(kept), set(new)) == ({"202"}, {"202"})
    with contextlib.closing(connect_to_tables(database)) as connection:
        assert fetch_value(connection, "SELECT count(*) FROM messages") == len(kept) + len(new)
    assert several.process.stop() == 0


def test_one_that_is_killed_is_replaced_while_the_other_serves(start_several: Callable[..., Several]) -> None:
    several = start_several()
    killed, other = several.pids

    os.kill(killed, signal.SIGKILL)
    ended = several.wait_for("api_process_ended")
    with Caller(several.port) as caller:
        caller.post()
        answer = caller.read_head()
    several.wait_for("api_process_listens", 3)

    assert (ended, status_of(answer)) == ([killed], 202)
    assert other in several.pids
    assert not is_gone(other)


def test_a_killed_supervisor_leaves_nobody_who_serves_on(start_several: Callable[..., Several]) -> None:
    several = start_several()
    pids = several.pids

    several.process.send(signal.SIGKILL)

    eventually(lambda: not accepts(several.port), what="nobody listens")
    eventually(lambda: all(map(is_gone, pids)), what="all are gone")


def test_an_open_request_is_answered_before_all_end(start_several: Callable[..., Several], database: str) -> None:
    several = start_several()
    pids = several.pids

    with contextlib.closing(connect_to_tables(database)) as other, Caller(several.port) as caller:
        execute(other, "LOCK TABLE outbox")
        caller.post()
        several.process.send(signal.SIGTERM)
        several.process.wait_for("Shutting down")
        other.rollback()

        assert status_of(caller.read_head()) == 202
    eventually(lambda: not several.process.running, LEAVE, what="it ends")
    assert several.process.exit_code == 0
    assert all(map(is_gone, pids))


def test_connections_are_counted_over_all_processes(start_several: Callable[..., Several]) -> None:
    several = start_several(HERALD_MAX_CONNECTIONS="4", HERALD_IDLE_TIMEOUT="3600")
    first, second = several.pids

    with contextlib.ExitStack() as stack:

        def served_by_the_other_than(pid: int, count: int) -> list[Caller]:
            os.kill(pid, signal.SIGSTOP)
            eventually(lambda: state_of(pid).startswith("T"), what="it takes no connection any more")
            callers = [stack.enter_context(Caller(several.port)) for _ in range(count)]
            for caller in callers:
                caller.post()
                assert status_of(caller.read_head()) == 202
            os.kill(pid, signal.SIGCONT)
            return callers

        longest, *_ = served_by_the_other_than(first, 3)
        kept, *_ = served_by_the_other_than(second, 2)

        assert b"HTTP/1.1" not in longest.read_all(), "it makes room, because five are more than four"

        os.kill(second, signal.SIGKILL)
        several.wait_for("api_process_ended")
        served_by_the_other_than(several.wait_for("api_process_listens", 3)[-1], 2)
        kept.post()

        assert b"HTTP/1.1 202" in kept.read_head(), "what a killed process had counts no more"


def test_one_that_cannot_start_stops_the_start(start_herald: StartHerald, database: str) -> None:
    with contextlib.closing(connect_to_tables(database)) as connection:
        accept(connection, [make_acceptance("generic_topic", None, b"{}")])
        execute(connection, "SELECT outbox_allow_event('message.sent', 2, '9.9.0')")
        execute(
            connection,
            "INSERT INTO outbox (stream_id, version, type, schema, payload)"
            " SELECT id, 2, 'message.sent', 2, '{}' FROM messages",
        )
        connection.commit()

    api = start_herald("api", DATABASE_URL=database, HERALD_PORT=str(free_port()), HERALD_API_PROCESSES="2")
    eventually(lambda: not api.running, STARTED, what="it ends")

    assert api.exit_code == 1
    assert "start release 9.9.0 or a later one" in api.output()


def test_a_restart_with_a_wrong_setting_is_given_up_and_all_serve_on(
    start_several: Callable[..., Several], tmp_path: Path
) -> None:
    several = start_several()
    before = several.pids
    (tmp_path / ".env").write_text("HERALD_LEASE=5\n")

    several.process.send(signal.SIGHUP)
    several.wait_for("api_restart_given_up")

    assert "HERALD_LEASE (5) must exceed" in several.process.output()
    assert several.pids == before
    with Caller(several.port) as caller:
        caller.post()
        assert status_of(caller.read_head()) == 202


def test_an_address_in_use_ends_the_supervisor(start_herald: StartHerald) -> None:
    (taken,) = listen("127.0.0.1", 0)
    with taken:
        port = taken.getsockname()[1]
        api = start_herald("api", DATABASE_URL=NOWHERE, HERALD_PORT=str(port), HERALD_API_PROCESSES="2")
        eventually(lambda: not api.running, STARTED, what="it ends")

    assert api.exit_code == NO_ADDRESS
    assert "Address already in use" in api.output()


def test_metrics_of_several_processes_are_one_answer_that_outlives_each(
    start_several: Callable[..., Several],
) -> None:
    watched = free_port()
    several = start_several(HERALD_METRICS_PORT=str(watched))
    assert [post_once(several.port) for _ in range(20)] == [202] * 20
    assert accepted(watched) == 20

    os.kill(several.pids[0], signal.SIGKILL)
    several.wait_for("api_process_listens", 3)

    assert accepted(watched) == 20
    assert [post_once(several.port) for _ in range(20)] == [202] * 20
    assert accepted(watched) == 40
    assert f'herald_build_info{{version="{version("herald")}"}} 1.0' in ask(watched, "/metrics")[1]
    assert [ask(watched, f"/health/{state}")[0] for state in ("live", "ready")] == [200, 200]


def post_once(port: int) -> int:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        return post(connection)


def accepted(port: int) -> int:
    _, text = ask(port, "/metrics")
    (line,) = [line for line in text.splitlines() if line.startswith("herald_accepted_messages_total ")]
    return round(float(line.split()[1]))


def ask(port: int, path: str) -> tuple[int, str]:
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=20)) as connection:
        connection.request("GET", path)
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
