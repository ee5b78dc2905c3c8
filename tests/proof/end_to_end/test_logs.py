"""What the logs of real processes never say, and how much they say."""

import json
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute
from tests.conftest import StartHerald
from tests.proof.end_to_end.destinations import WEBHOOKS, mail_to
from tests.proof.end_to_end.system import ROLES, SETTLED, STARTED, Herald, MakeHerald, statuses
from tests.servers.certificates import Certificate
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.http_server import HttpServer
from tests.servers.ports import free_port
from tests.servers.smtp_server import SmtpServer

SECRET = "s3cr3t"  # noqa: S105 - part of each secret of these tests
CONTENT, USER_PART, QUERY = f"{SECRET}-content", f"u:{SECRET}-userinfo@", f"?token={SECRET}-query"
PASSWORD, NO_KEY = f"{SECRET}-password", f"hk_{'0' * 12}_{SECRET}"
JSON = {"content-type": "application/json"}
POISON = "poison"  # a key that the database refuses, with the row in its error


@pytest.fixture
def receiver() -> Iterator[HttpServer]:
    with HttpServer() as server:
        yield server


@pytest.fixture
def certificate(tmp_path: Path) -> Certificate:
    return Certificate(tmp_path)


@pytest.fixture
def mail_server(certificate: Certificate) -> Iterator[SmtpServer]:
    """It knows another password."""
    with SmtpServer(security="starttls", certificate=certificate, logins={"herald": "another"}) as server:
        yield server


def test_no_line_of_any_process_has_a_secret_at_whatever_level(
    make_herald: MakeHerald,
    connection: Connection,
    receiver: HttpServer,
    mail_server: SmtpServer,
    certificate: Certificate,
) -> None:
    login = {"HERALD_SMTP_USERNAME": "herald", "HERALD_SMTP_PASSWORD": PASSWORD, "HERALD_SMTP_SECURITY": "starttls"}
    mail = mail_to(mail_server) | login | {"HERALD_SMTP_CA_LOCATION": str(certificate.path)}
    herald = make_herald(**WEBHOOKS, **mail, HERALD_LOG_LEVEL="debug", HERALD_RETRY_BASE="3600")
    herald.start()
    herald.await_api()
    execute(connection, f"ALTER TABLE outbox ADD CONSTRAINT no_poison CHECK (key <> '{POISON}') NOT VALID")

    for path in ("/status/410", "/status/503"):
        letter = {"user_id": "ada", "event": "e", "content": CONTENT, "channel": "webhook"}
        herald.post("/notifications", letter | {"address": receiver.url(path) + QUERY})
    herald.post("/notifications", letter | {"address": f"http://127.0.0.1:{free_port()}/nobody{QUERY}"})
    herald.post("/notifications", letter | {"channel": "email", "address": "eve@example.com"})
    refused = letter | {"address": receiver.url("/").replace("//", f"//{USER_PART}") + QUERY}
    assert herald.client.post("/notifications", json=refused).status_code == 400
    poisoned = letter | {"user_id": POISON, "channel": "log"}
    answers = [
        herald.client.post("/notifications", json=poisoned, headers={"authorization": f"Bearer {NO_KEY}"}),
        herald.client.post("/notifications", content=f'{{"content": "{CONTENT}'.encode(), headers=JSON),
        herald.client.get(f"/notifications{QUERY}&user_id={CONTENT}"),
    ]
    assert [answer.status_code for answer in answers] == [422, 400, 400]
    eventually(lambda: tried(connection) and mail_server.connections, SETTLED, what="each was tried")
    herald.processes["pipeline"].wait_for('"window_committed"', SETTLED)

    told = {role: herald.processes[role].output() for role in ROLES}
    assert all(is_event(line) for output in told.values() for line in output.splitlines())
    assert [line for output in told.values() for line in output.splitlines() if SECRET in line] == []
    assert "command_refused" in told["api"]
    assert "Traceback" in told["api"]
    assert "message_died" in told["pipeline"]
    assert "attempt_failed" in told["pipeline"]


def test_a_signal_shows_everything_and_another_what_the_setting_says(herald: Herald) -> None:
    herald.settings["HERALD_LOG_LEVEL"] = "warning"
    herald.start_and_deliver()
    assert [shown(herald.processes[role], "info") for role in ROLES] == [0, 0, 0]

    for role in ROLES:
        herald.processes[role].send(signal.SIGUSR1)
        herald.processes[role].wait_for('"to": "debug"', STARTED)
    herald.post_notification("seen")

    for role in ("api", "pipeline"):
        eventually(partial(shown, herald.processes[role], "info"), SETTLED, what=role)
    for role in ROLES:
        herald.processes[role].send(signal.SIGUSR2)
        herald.processes[role].wait_for('"to": "warning"', STARTED)
    before = shown(herald.processes["api"], "info")
    herald.post_notification("unseen")
    herald.client.get("/nowhere")
    assert herald.stop("api") == 0
    assert shown(herald.processes["api"], "info") == before


def test_processes_of_one_api_log_as_their_supervisor_does_also_those_that_start_later(
    database: str, start_herald: StartHerald
) -> None:
    api = start_herald(
        "api",
        DATABASE_URL=database,
        HERALD_PORT=str(free_port()),
        HERALD_API_PROCESSES="2",
        HERALD_LOG_LEVEL="info",
    )
    eventually(lambda: len(events(api, "api_process_listens")) == 2, STARTED)

    api.send(signal.SIGUSR1)
    eventually(lambda: len(events(api, "log_level_changed")) == 3, SETTLED, what="the supervisor and both")
    api.send(signal.SIGHUP)

    eventually(lambda: len(events(api, "log_level_changed")) == 5, SETTLED, what="and their successors")
    api.send(signal.SIGUSR2)
    eventually(lambda: len(events(api, "log_level_changed")) == 8, SETTLED, what="all three")
    assert [line["to"] for line in events(api, "log_level_changed")] == ["debug"] * 5 + ["info"] * 3


def tried(connection: Connection) -> bool:
    found = statuses(connection)
    assert sum(found.values()) == 4, found
    assert not {"pending", "sending"} & found.keys(), found
    return True


def is_event(line: str) -> bool:
    return "event" in json.loads(line)


def events(process: HeraldProcess, event: str) -> list[dict[str, Any]]:
    found = (json.loads(line) for line in process.output().splitlines() if f'"{event}"' in line)
    return [line for line in found if line["event"] == event]


def shown(process: HeraldProcess, level: str) -> int:
    """How many lines of a level there are."""
    return sum(json.loads(line)["level"] == level for line in process.output().splitlines())
