"""A storm of one request under one key, against the API as a process; no broker is needed."""

import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import ExitStack, closing
from uuid import uuid4

import httpx2
import pytest

from benchmarks.figures import percentile
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.conftest import ROOT, StartHerald
from tests.proof.end_to_end.storm import CALLERS, Answer, Storm
from tests.proof.end_to_end.system import STARTED, show
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment
from tests.servers.ports import free_port

BODY = {"user_id": "ada", "event": "greeting", "content": "hello"}
ROUNDS = 5
OTHERS = 32  # connections of other clients
EVERY = 0.5  # seconds between two storms
CONNECTIONS = """
SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'herald%%'
"""

StartApis = Callable[[int], Sequence[int]]


@pytest.fixture
def start_apis(database: str, start_herald: StartHerald) -> StartApis:
    """Call it with how many; returns their ports once all are ready."""

    def start(count: int) -> Sequence[int]:
        ports = [free_port() for _ in range(count)]
        for port in ports:
            start_herald("api", DATABASE_URL=database, HERALD_PORT=str(port), HERALD_POOL_SIZE="10")
        for port in ports:
            eventually(lambda port=port: is_ready(port), STARTED, what="the API is ready")  # type: ignore[misc]
        return ports

    return start


def is_ready(port: int) -> bool:
    try:
        return httpx2.get(f"http://127.0.0.1:{port}/health/ready").is_success
    except httpx2.TransportError:
        return False


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("processes", [pytest.param(1, marks=pytest.mark.proof), 2])
def test_of_200_callers_with_one_key_exactly_one_is_first(
    start_apis: StartApis, connection: Connection, stack: ExitStack, processes: int
) -> None:
    storm = stack.enter_context(closing(Storm(start_apis(processes))))

    for number in range(ROUNDS):
        answers = storm.send(BODY, key=f"key {number}")

        assert len(answers) == CALLERS
        assert_one_is_first(answers)
        assert fetch(connection, "SELECT count(*) FROM messages") == [(number + 1,)]
        ((used,),) = fetch(connection, CONNECTIONS)
        assert used <= 3 * processes  # committer, notifier, and the one read that asked whether it is ready
        show(f"{processes} processes, {CALLERS} callers with one key: {outcomes(answers)}, {used} connections")


def assert_one_is_first(answers: Sequence[Answer]) -> None:
    """And whoever else is accepted has its id; the others may try again."""
    assert {answer.status for answer in answers} <= {202, 409}
    accepted = [answer for answer in answers if answer.status == 202]
    assert [answer.headers.get("idempotency-replayed") for answer in accepted].count(None) == 1
    assert len({answer.body["id"] for answer in accepted}) == 1
    assert {answer.headers["retry-after"] for answer in answers if answer.status == 409} <= {"1"}


def outcomes(answers: Sequence[Answer]) -> dict[str, int]:
    return dict(
        Counter(
            "in use" if one.status == 409 else "replayed" if "idempotency-replayed" in one.headers else "first"
            for one in answers
        )
    )


@pytest.mark.proof
def test_others_are_answered_during_storms(start_apis: StartApis, stack: ExitStack) -> None:
    """And their p99 is shown; `python -m benchmarks idempotency` holds it against its target."""
    (port,) = start_apis(1)
    quiet = p99_of_others(port)
    storm = stack.enter_context(closing(Storm([port])))
    threads = stack.enter_context(ThreadPoolExecutor(1))

    others = threads.submit(p99_of_others, port)
    storms = 0
    while not others.done():
        assert_one_is_first(storm.send(BODY, key=uuid4().hex))
        storms += 1
        wait([others], timeout=EVERY)

    ratio = others.result() / quiet
    show(f"{storms} storms: p99 of {OTHERS} others {quiet:.1f} → {others.result():.1f} ms, {ratio:.2f} times")


def p99_of_others(port: int) -> float:
    """Milliseconds, as many requests as they carry; fails when one is not answered 202."""
    load = f"--port={port} --connections={OTHERS} --seconds=2 --warm-up=0.5"
    command = [sys.executable, "-m", "benchmarks.load", *load.split()]
    done = subprocess.run(command, cwd=ROOT, env=herald_environment({}), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return percentile(json.loads(done.stdout)["milliseconds"], 99)


def test_a_key_of_another_process_gets_the_same_answer(start_apis: StartApis) -> None:
    first, other = start_apis(2)
    headers = {"idempotency-key": uuid4().hex}

    answers = [
        httpx2.post(f"http://127.0.0.1:{port}/notifications", json=BODY, headers=headers) for port in (first, other)
    ]

    assert answers[0].json() == answers[1].json()
    assert answers[1].headers["idempotency-replayed"] == "true"


def test_a_key_in_two_headers_is_refused_by_the_process(start_apis: StartApis) -> None:
    (port,) = start_apis(1)

    answer = httpx2.post(
        f"http://127.0.0.1:{port}/notifications",
        json=BODY,
        headers=[("idempotency-key", "a"), ("idempotency-key", "a")],
    )

    assert answer.status_code == 400
    assert "given 2 times" in answer.text
