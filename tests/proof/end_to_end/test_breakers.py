"""A dead destination is left alone, holds up no other, and gets what waited when it is back."""

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.proof.end_to_end.destinations import WEBHOOKS, letter
from tests.proof.end_to_end.system import SETTLED, STARTED, Herald, MakeHerald, show
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer
from tests.servers.ports import free_port

MESSAGES = 100
STATUSES = "SELECT status, count(*) FROM messages WHERE key LIKE %s GROUP BY status"
ATTEMPTS = "SELECT sum(attempts), sum(attempts - uncounted) FROM messages WHERE key LIKE 'dead-%%'"


def test_a_dead_destination_burns_no_attempts_and_gets_everything_once_it_is_back(
    make_herald: MakeHerald, connection: Connection
) -> None:
    herald = make_herald(**WEBHOOKS, HERALD_BREAKER_BASE="2", HERALD_RETRY_BASE="0.5", HERALD_BREAKER_FAILURES="3")
    herald.start_and_deliver()
    port = free_port()
    with HttpServer() as live:
        post(herald, f"http://127.0.0.1:{port}/ok", live)

        eventually(lambda: dict(fetch(connection, STATUSES, "live-%")) == {"sent": MESSAGES}, STARTED)
        eventually(lambda: fetch(connection, "SELECT FROM breakers WHERE opened_at IS NOT NULL"), STARTED)
        herald.processes["pipeline"].wait_for("breaker_opened")
        assert "sent" not in dict(fetch(connection, STATUSES, "dead-%"))
        assert set(live.ids.values()) == {1}

    ((claimed, tried),) = fetch(connection, ATTEMPTS)
    assert tried <= MESSAGES / 2, "the breaker was open"
    with HttpServer(port=port) as back:
        eventually(lambda: dict(fetch(connection, STATUSES, "dead-%")) == {"sent": MESSAGES}, SETTLED)
        assert back.ids.total() == MESSAGES
        assert set(back.ids.values()) == {1}
    herald.processes["pipeline"].wait_for("breaker_closed")
    show(f"of {MESSAGES} to the dead one {tried} were tried, {claimed - tried} attempts were given back")
    herald.assert_projection_equals_log()


@pytest.mark.proof
def test_a_killed_prober_does_not_wedge_the_breaker(make_herald: MakeHerald, connection: Connection) -> None:
    short = {"HERALD_LEASE": "3", "HERALD_DELIVERY_TIMEOUT": "2", "HERALD_BREAKER_BASE": "1"}
    herald = make_herald(**WEBHOOKS, **short, HERALD_BREAKER_FAILURES="1")
    herald.start_and_deliver()
    port = free_port()
    posted = [herald.post("/notifications", letter("ada", "webhook", f"http://127.0.0.1:{port}/held"))]
    eventually(lambda: fetch(connection, "SELECT FROM breakers WHERE opened_at IS NOT NULL"), STARTED)
    posted += [
        herald.post("/notifications", letter(f"user-{number}", "webhook", f"http://127.0.0.1:{port}/held"))
        for number in range(5)
    ]

    with HttpServer(port=port) as server:
        eventually(lambda: server.received, STARTED, what="a probe is under way")
        herald.kill("pipeline")
        assert len(server.received) == 1, "one at a time"
        server.release()
        herald.start("pipeline")

        eventually(lambda: herald.revive() and {herald.look(one)["status"] for one in posted} == {"sent"}, SETTLED)
        assert server.ids.keys() == set(posted)
    herald.assert_projection_equals_log()


def post(herald: Herald, dead: str, live: HttpServer) -> None:
    """Mixed, in one request."""
    items = [
        letter(f"{kind}-{number}", "webhook", address)
        for number in range(MESSAGES)
        for kind, address in (("dead", dead), ("live", live.url()))
    ]
    assert herald.client.post("/notifications/bulk", json={"items": items}).status_code == 202
