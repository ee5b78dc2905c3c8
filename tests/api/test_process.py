"""`herald api`, as an operator runs it."""

import contextlib
import json
import signal
import subprocess
import sys
import threading
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from herald.api.process import make_executor
from herald.outbox.postgres.statements import execute, fetch_value
from tests.api.serving import Caller
from tests.conftest import StartHerald
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment
from tests.servers.ports import accepts, free_port
from tests.servers.postgres import connect_to_tables

NOWHERE = "postgresql://postgres@127.0.0.1:1/nowhere"


def _run(*arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "herald.outbox.cli", "api", *arguments]
    return subprocess.run(
        command, cwd=folder, env=herald_environment(settings), capture_output=True, text=True, check=False, timeout=30
    )


def test_all_threads_that_read_are_there_from_the_start() -> None:
    executor = make_executor(3)

    assert len([one for one in threading.enumerate() if one.name.startswith("reads")]) == 3
    executor.shutdown()


def test_help_explains_itself(tmp_path: Path) -> None:
    done = _run("--help", folder=tmp_path)

    assert done.returncode == 0
    assert "--port" in done.stdout
    assert "/docs" in done.stdout


def test_a_wrong_setting_is_named(tmp_path: Path) -> None:
    done = _run(folder=tmp_path, DATABASE_URL=NOWHERE, HERALD_PORT="0")

    assert done.returncode == 2
    assert "HERALD_PORT" in done.stderr


def test_an_address_in_use_ends_it(tmp_path: Path, start_herald: StartHerald) -> None:
    port = str(free_port())
    start_herald("api", "--port", port, DATABASE_URL=NOWHERE).wait_for("Uvicorn running")

    done = _run("--port", port, folder=tmp_path, DATABASE_URL=NOWHERE)

    assert done.returncode not in {0, 2}
    assert "address already in use" in done.stdout


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_it_starts_without_a_database_and_stops_when_asked(start_herald: StartHerald, by: signal.Signals) -> None:
    port = free_port()
    api = start_herald("api", "--port", str(port), DATABASE_URL=NOWHERE)
    api.wait_for("Uvicorn running")
    assert accepts(port)

    assert api.stop(by) == 0


def test_it_listens_where_the_settings_say(start_herald: StartHerald, database: str) -> None:
    port = free_port()
    start_herald("api", DATABASE_URL=database, HERALD_PORT=str(port)).wait_for("Uvicorn running")

    assert _post(port) == (202, "pending")


def test_an_open_request_is_answered_before_it_stops(start_herald: StartHerald, database: str) -> None:
    port = free_port()
    api = start_herald("api", "--port", str(port), DATABASE_URL=database)
    api.wait_for("Uvicorn running")

    with contextlib.closing(connect_to_tables(database)) as other, ThreadPoolExecutor() as callers:
        execute(other, "LOCK TABLE outbox")
        answer = callers.submit(_post, port)
        eventually(lambda: _waits_for_a_lock(database), what="the commit is held up")
        api.send(signal.SIGTERM)
        api.wait_for("Shutting down")
        assert not answer.done()
        other.rollback()

        assert answer.result(10) == (202, "pending")
    assert api.stop() == 0


def test_a_request_on_its_way_when_it_stops_is_answered_and_is_the_last(
    start_herald: StartHerald, database: str
) -> None:
    port = free_port()
    api = start_herald("api", "--port", str(port), DATABASE_URL=database)
    api.wait_for("Uvicorn running")

    with Caller(port) as rested, Caller(port) as silent:
        rested.post()
        assert b"202" in rested.read_head()
        api.send(signal.SIGTERM)
        api.wait_for("Shutting down")
        rested.post()
        silent.post()
        answers = [rested.read_all(), silent.read_all()]

    assert [answer.count(b"HTTP/1.1 202") for answer in answers] == [1, 1]
    assert all(b"connection: close" in answer for answer in answers)
    assert api.stop() == 0


def _post(port: int) -> tuple[int, str]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/notifications",
        data=b'{"user_id": 1, "event": "e", "content": "c"}',
        headers={"content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=30) as response:
        return response.status, json.load(response)["status"]


def _waits_for_a_lock(database: str) -> bool:
    with contextlib.closing(connect_to_tables(database)) as connection:
        found = fetch_value(connection, "SELECT EXISTS (SELECT FROM pg_locks WHERE NOT granted)")
    return bool(found)
