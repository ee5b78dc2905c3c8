"""What a destination asks time for, and what is away for an hour, ends delivered: hours pass by a moved clock."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.pipeline.testing.clock import VirtualClock
from herald.pipeline.testing.consumers import Consumers
from herald.pipeline.testing.herald import Herald, running
from herald.pipeline.testing.plugin import QUICK
from tests.outbox.connections import make_settings
from tests.proof.end_to_end.destinations import SECRET
from tests.proof.end_to_end.system import SETTLED, show, statuses
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer
from tests.servers.ports import free_port
from tests.servers.smtp_server import SmtpServer

ADA = "ada@example.com"
GREY = "451 4.7.1 greylisted, try again in 5 minutes"
DEFAULTS = make_settings("postgresql://nowhere/herald")
MOMENT = timedelta(milliseconds=10)
HOUR, MESSAGES = timedelta(hours=1), 1000
BREAKER = "SELECT probes, probe_at FROM breakers WHERE opened_at IS NOT NULL"

Run = Callable[..., AbstractContextManager[Herald]]


@pytest.fixture
def run(herald_database: str, herald_broker: str, herald_clock: VirtualClock, tmp_path: Path) -> Run:
    """Call it with settings; retries have the defaults."""
    servers = {"DATABASE_URL": herald_database, "KAFKA_BOOTSTRAP_SERVERS": herald_broker}

    def start(**settings: Any) -> AbstractContextManager[Herald]:
        said = {**QUICK, **servers, "retry_base": 1.0, "max_attempts": DEFAULTS.max_attempts, **settings}
        return running(said, Consumers({}, {}), herald_clock, folder=tmp_path)

    return start


@pytest.fixture
def connection(herald_database: str) -> Iterator[Connection]:
    """In autocommit: every look is a new one."""
    with closing(connect(make_settings(herald_database), "test")) as connection:
        connection.autocommit = True
        yield connection


def mail(server: SmtpServer) -> dict[str, Any]:
    return {
        "smtp_host": server.host,
        "smtp_port": server.port,
        "smtp_security": "none",
        "email_from": "herald@example.com",
    }


@pytest.mark.parametrize(
    ("reply", "seconds"),
    [
        (GREY, 300),
        pytest.param("450 4.2.1 mailbox busy", 4 * 3600, marks=pytest.mark.proof),
        pytest.param("452 4.2.2 mailbox full", 8 * 3600, marks=pytest.mark.proof),
        pytest.param("421 4.3.2 later", 3600, marks=pytest.mark.proof),
    ],
)
def test_a_mail_that_is_refused_for_now_is_sent_once_it_is_taken(
    run: Run, herald_clock: VirtualClock, connection: Connection, reply: str, seconds: int
) -> None:
    with SmtpServer() as server, run(**mail(server)) as herald:
        server.answer(ADA, reply)
        message = herald.notify("ada", "greeting", "hello", channel="email", address=ADA)
        began = herald_clock.now()

        def next_date() -> datetime | None:
            """When it is tried again; None once it is over."""
            eventually(lambda: herald.look(message).status in {"failed", "sent", "dead"}, SETTLED)
            return herald.look(message).due_at

        while (date := next_date()) is not None:
            date = max([date, *(probe for _, probe in fetch(connection, BREAKER))])
            if date - began >= timedelta(seconds=seconds):
                server.answers.clear()
            tried = herald.look(message).attempts
            herald_clock.set(date + MOMENT)
            eventually(lambda: herald.look(message).attempts > tried, SETTLED, what="it was tried again")  # noqa: B023

        found, took = herald.look(message), herald_clock.now() - began
        assert found.status == "sent"
        assert took < timedelta(seconds=3 * seconds + 60)
        assert server.recipients() == [ADA]
        show(f"{reply} for {seconds} s: sent after {took.total_seconds():.0f} s, at attempt {found.attempts}")


@pytest.mark.proof
def test_an_hours_outage_of_a_host_ends_without_a_dead_letter(
    run: Run, herald_clock: VirtualClock, connection: Connection
) -> None:
    port = free_port()
    hooks = {"webhook_secrets": {"*": [SECRET]}, "webhook_networks": ("127.0.0.0/8",)}
    with run(**hooks) as herald:
        for number in range(MESSAGES):
            address = f"http://127.0.0.1:{port}/ok"
            herald.notify(f"user {number}", "greeting", "hello", channel="webhook", address=address)
        end = herald_clock.now() + HOUR
        eventually(lambda: fetch(connection, BREAKER), SETTLED, what="the breaker is open")

        while (probe := rested(connection)) < end:
            probes = fetch(connection, BREAKER)[0][0]
            herald_clock.set(probe + MOMENT)
            eventually(lambda: fetch(connection, BREAKER)[0][0] > probes, SETTLED, what="a probe failed")  # noqa: B023

        tried = fetch(connection, "SELECT max(attempts - uncounted), sum(attempts - uncounted) FROM messages")
        with HttpServer(port=port) as server:
            herald_clock.set(rested(connection) + MOMENT)
            back = herald_clock.now()
            eventually(lambda: statuses(connection).get("sent", 0) >= 0.95 * MESSAGES, SETTLED, what="most are sent")
            soon = herald_clock.now() - back, statuses(connection)["sent"]
            while set(statuses(connection)) != {"sent"}:
                ((date,),) = fetch(connection, "SELECT max(due_at) FROM messages WHERE status = 'failed'")
                if date is not None:
                    herald_clock.set(max(date, herald_clock.now()) + MOMENT)
                eventually(lambda: herald_is_still(connection), SETTLED, what="nothing is under way")

            took = herald_clock.now() - back
            assert statuses(connection) == {"sent": MESSAGES}
            assert server.ids.total() == len(server.ids) == MESSAGES
    show(
        f"an hour away: {MESSAGES} messages, attempts (most, all) {tried}; after its return {soon[1]} were sent within"
        f" {soon[0].total_seconds():.0f} s, all within {took.total_seconds():.0f} s, dead 0"
    )


def herald_is_still(connection: Connection) -> bool:
    """Whether nothing is claimed or on its way: a lease that ends by a moved clock would be an unknown outcome."""
    return not {"sending", "pending"} & statuses(connection).keys()


def rested(connection: Connection) -> datetime:
    """The date of the next probe, once nothing is under way and a message is due by then."""
    eventually(lambda: herald_is_still(connection), SETTLED, what="nothing is under way")
    ((_, date),) = fetch(connection, BREAKER)
    ((due,),) = fetch(connection, "SELECT min(due_at) FROM messages WHERE status IN ('scheduled', 'failed')")
    return max(date, due)  # type: ignore[no-any-return]  # timestamptz is a datetime
