"""Destinations that misbehave: each message ends in the right state with the right reason, the others in their time."""

import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.proof.end_to_end.destinations import WEBHOOKS, ends, letter, mail_to, policies
from tests.proof.end_to_end.system import SETTLED, Herald, MakeHerald, show
from tests.servers.certificates import Certificate
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer
from tests.servers.smtp_server import SmtpServer

OTHERS = 24  # of a window of 25
TIMEOUT = 4.0  # seconds of one delivery; the others of all windows are sent within two of them on a crowded machine
WEBHOOK_CASES = {
    "/status/500": ("dead", "HTTP 500 Internal Server Error (attempt 2 of 2)"),
    "/later/429/1": ("dead", "HTTP 429 Too Many Requests (attempt 2 of 2)"),
    "/status/410": ("dead", "HTTP 410 Gone: done"),
    "/hang": ("dead", "no answer within 4 s: whether it was taken is not known (attempt 2 of 2)"),
    "/drip-head": ("dead", "no answer within 4 s: whether it was taken is not known (attempt 2 of 2)"),
    "/reset": ("dead", "the connection broke before an answer: whether it was taken is not known (attempt 2 of 2)"),
    "/bomb/500": ("dead", "HTTP 500 Internal Server Error (attempt 2 of 2)"),
    "/endless/503": ("dead", "HTTP 503 Service Unavailable (attempt 2 of 2)"),
    "/redirect/http://10.0.0.1/": ("dead", "HTTP 302 Found: redirects are not followed"),
    "/drip-body": ("sent", None),
    "/bomb": ("sent", None),
    "/endless": ("sent", None),
}
MAIL_CASES = {
    "nobody@example.com": ("dead", r"SMTP 550.*"),
    "full@example.com": ("dead", r"SMTP 452.* \(attempt 2 of 2\)"),
    "cut@example.com": ("unknown", r".*"),
}


@pytest.fixture
def mail() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        server.answer("nobody@example.com", "550 user unknown")
        server.answer("full@example.com", "452 mailbox full")
        server.cut_off("cut@example.com")
        yield server


@pytest.fixture
def herald(make_herald: MakeHerald, mail: SmtpServer) -> Herald:
    own = {"timeout": TIMEOUT, "max_attempts": 2, "retry_base": 0.05}
    channels = policies(webhook=own, email={**own, "timeout": 5, "unknown": "hold"})
    return make_herald(**WEBHOOKS, **mail_to(mail), **channels, HERALD_BREAKER_FAILURES="50")


@pytest.mark.proof
def test_every_message_ends_in_the_right_state_and_the_other_24_in_their_own_time(
    herald: Herald, connection: Connection, mail: SmtpServer, tmp_path: Path
) -> None:
    herald.start_and_deliver()
    with ExitStack() as servers:
        good = servers.enter_context(HttpServer())
        untrusted = servers.enter_context(HttpServer(certificate=Certificate(tmp_path)))
        bad = {path: servers.enter_context(HttpServer()).url(path) for path in WEBHOOK_CASES}
        windows = [
            (window(herald, letter("one", "webhook", url), good), WEBHOOK_CASES[path]) for path, url in bad.items()
        ]
        failed = ("dead", "TLS failed: self-signed certificate (attempt 2 of 2)")
        windows.append((window(herald, letter("one", "webhook", untrusted.url()), good), failed))
        mails = [(mail_window(herald, address), end) for address, end in MAIL_CASES.items()]

        for messages, end in windows:
            await_end(connection, messages)
            assert ends(connection, messages[:1]) == [end]
            assert_others(connection, messages)
        for messages, (status, pattern) in mails:
            await_end(connection, messages)
            ((found, reason),) = ends(connection, messages[:1])
            assert found == status
            assert re.fullmatch(pattern, reason or ""), reason
            assert_others(connection, messages)
    assert seconds_between_attempts(connection, windows[1][0][0]) >= 1, "Retry-After"
    assert mail.connections < OTHERS, "one connection carries many mails"
    assert sorted(set(mail.recipients())) == sorted(f"user-{number}@example.com" for number in range(OTHERS))
    herald.assert_projection_equals_log()


def window(herald: Herald, one: dict[str, Any], good: HttpServer) -> list[str]:
    """The bad one and 24 others in one request; returns their ids, the bad one's first."""
    others = [letter(f"user-{number}", "webhook", good.url()) for number in range(OTHERS)]
    return post(herald, [one, *others])


def mail_window(herald: Herald, address: str) -> list[str]:
    others = [letter(f"user-{number}", "email", f"user-{number}@example.com") for number in range(OTHERS)]
    return post(herald, [letter("one", "email", address), *others])


def post(herald: Herald, items: list[dict[str, Any]]) -> list[str]:
    answer = herald.client.post("/notifications/bulk", json={"items": items})
    assert answer.status_code == 202, answer.text
    return [one["id"] for one in answer.json()["items"]]


def await_end(connection: Connection, messages: list[str]) -> None:
    eventually(lambda: ends(connection, messages[:1])[0][0] in {"sent", "dead", "unknown"}, SETTLED)


def assert_others(connection: Connection, messages: list[str]) -> None:
    """All are sent, none of them after the bad one's end if that took its time."""
    eventually(lambda: {status for status, _ in ends(connection, messages[1:])} == {"sent"}, SETTLED)
    query = "SELECT max(extract(epoch FROM sent_at - accepted_at))::float FROM messages WHERE id = ANY (%s::uuid[])"
    ((slowest,),) = fetch(connection, query, messages[1:])
    show(f"slowest of the other {OTHERS}: {slowest:.3f} s")
    assert slowest < 2 * TIMEOUT, "longer than the bad one's attempts"


def seconds_between_attempts(connection: Connection, message: str) -> float:
    query = (
        "SELECT extract(epoch FROM max(recorded_at) - min(recorded_at))::float"
        " FROM outbox WHERE stream_id = %s AND type = 'message.started'"
    )
    ((seconds,),) = fetch(connection, query, message)
    return float(seconds)
