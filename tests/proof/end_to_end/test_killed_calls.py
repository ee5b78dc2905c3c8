"""Kill -9 between claim and outcome: nothing is lost, and what was repeated is what is reported as unknown.

`CALL_KILLS=100 pytest -rP -m proof tests/proof/end_to_end/test_killed_calls.py` kills a hundred times.
"""

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.proof.end_to_end.destinations import WEBHOOKS, count_events, letter, mail_to, policies
from tests.proof.end_to_end.system import SETTLED, STARTED, Herald, MakeHerald, show
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer
from tests.servers.smtp_server import SmtpServer

KILLS = int(os.environ.get("CALL_KILLS", "2"))
EACH = 3  # messages of each channel in hand at a kill
SHORT = {"HERALD_LEASE": "3", "HERALD_DELIVERY_TIMEOUT": "2", "HERALD_SESSION_TIMEOUT": "1"}  # seconds
PATIENT = {"HERALD_BREAKER_FAILURES": "1000", "HERALD_MAX_ATTEMPTS": "50"}  # a call that is not killed in time fails
UNKNOWN = (
    "SELECT m.id::text, m.status, m.attempts, count(o.*) FROM messages AS m LEFT JOIN outbox AS o"
    " ON o.stream_id = m.id AND o.type = 'message.unknown'"
    " WHERE split_part(m.destination, ':', 1) = %s GROUP BY 1, 2, 3"
)


@pytest.fixture
def mail() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@pytest.fixture
def hook() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


@pytest.mark.parametrize("unknown", ["retry", "hold"])
@pytest.mark.proof
def test_what_a_killed_pipeline_had_in_hand_is_repeated_or_held_and_reported_as_unknown(
    make_herald: MakeHerald, connection: Connection, mail: SmtpServer, hook: HttpServer, unknown: str
) -> None:
    herald = make_herald(**WEBHOOKS, **mail_to(mail), **SHORT, **PATIENT, **policies(email={"unknown": unknown}))
    herald.start_and_deliver()
    mails: dict[str, str] = {}

    for number in range(KILLS):
        kill_in_mid_call(herald, number, mail, hook, mails)
    herald.start("pipeline")

    ended = {"sent"} if unknown == "retry" else {"sent", "unknown"}
    eventually(lambda: herald.revive() and set(statuses(connection)) <= ended, SETTLED + KILLS, what="all is settled")
    assert_webhooks(connection, hook)
    assert_mails(connection, mail, mails, unknown)
    repeats = {"webhook": hook.ids.total() - len(hook.ids), "e-mail": len(mail.finished) - len(set(mail.finished))}
    found = f"{count_events(connection, 'unknown')} outcomes unknown, repeats that arrived {repeats}"
    show(f"{KILLS} kills in mid-call: {found}; {statuses(connection)}")
    herald.assert_projection_equals_log()


def kill_in_mid_call(herald: Herald, number: int, mail: SmtpServer, hook: HttpServer, mails: dict[str, str]) -> None:
    """Both servers have everything and answer nothing; then the pipeline is killed and the servers go on."""
    if not herald.processes["pipeline"].running:
        herald.start("pipeline")
    addresses = [f"user-{number}-{copy}@example.com" for copy in range(EACH)]
    for address in addresses:
        mail.hang(address, at="DATA")
    wanted = set(addresses)
    hooks = {
        post(herald, letter(f"hook-{number}-{copy}", "webhook", hook.url(f"/held/{number}"))) for copy in range(EACH)
    }
    mails.update({post(herald, letter(address, "email", address)): address for address in addresses})
    eventually(
        lambda: herald.revive() and hooks <= hook.ids.keys() and wanted <= set(mail.finished),
        STARTED + SETTLED,
        what="both servers have all of it",
    )
    herald.kill("pipeline")
    for address in addresses:
        mail.hanging.discard(("DATA", address))
    hook.release(str(number))


def assert_webhooks(connection: Connection, hook: HttpServer) -> None:
    """All sent; every repeat has the id and the body of the first."""
    rows = fetch(connection, UNKNOWN, "webhook")
    assert {message for message, *_ in rows} == hook.ids.keys()
    assert {status for _, status, _, _ in rows} == {"sent"}
    bodies: dict[str, set[bytes]] = {}
    for received in hook.received:
        bodies.setdefault(received.id, set()).add(received.body)
    assert all(len(found) == 1 for found in bodies.values())
    assert all(attempts == 1 + unknowns for _, _, attempts, unknowns in rows)
    assert all(1 <= hook.ids[message] <= attempts for message, _, attempts, _ in rows), (
        "some were killed before the call"
    )


def assert_mails(connection: Connection, mail: SmtpServer, mails: dict[str, str], unknown: str) -> None:
    """Repeats at the server, or held messages, are exactly the unknown outcomes."""
    finished = Counter(mail.finished)
    for message, status, attempts, unknowns in fetch(connection, UNKNOWN, "email"):
        assert 1 <= finished[mails[message]] <= attempts, "some were killed before the call"
        if unknown == "retry":
            assert (status, attempts) == ("sent", 1 + unknowns)
        else:
            assert (status, attempts, unknowns) == ("unknown", 1, 1)


def statuses(connection: Connection) -> dict[str, int]:
    return dict(fetch(connection, "SELECT status, count(*) FROM messages GROUP BY status"))


def post(herald: Herald, body: dict[str, Any]) -> str:
    return herald.post("/notifications", body)
