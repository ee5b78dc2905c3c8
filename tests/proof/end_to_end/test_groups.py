"""A group on the whole system: one request for a thousand users is one thing, counted right and cancelled as one."""

import threading
from collections import Counter
from collections.abc import Callable

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, fetch_value
from tests.proof.end_to_end.destinations import WEBHOOKS
from tests.proof.end_to_end.system import SETTLED, STARTED, Herald, MakeHerald, show
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer, Received

USERS = 1_000
HALF = 300  # webhooks; those behind them come once the cancel is under way
PATIENCE = 30.0  # seconds
ENDINGS = """
SELECT m.id::text, array_agg(o.type ORDER BY o.version) FROM outbox AS o JOIN messages AS m ON m.id = o.stream_id
WHERE m.group_id = %s GROUP BY m.id
"""
Cancel = Callable[[Herald, Connection, str], None]


class HalfWay(HttpServer):
    """Answers no more than the first half until it may go on."""

    def __init__(self) -> None:
        super().__init__()
        self.may_go_on = threading.Event()

    def keep(self, received: Received) -> None:
        super().keep(received)
        if len(self.received) > HALF:
            self.may_go_on.wait(PATIENCE)


def by_http(herald: Herald, _: Connection, group: str) -> None:
    """Again as long as others hold some of it, as clients do."""

    def is_answered() -> bool:
        answer = herald.client.post(f"/groups/{group}/cancel")
        assert answer.status_code in {200, 409}, answer.text
        assert answer.is_success or answer.headers["retry-after"] == "1"
        return answer.is_success

    eventually(is_answered, SETTLED)


def by_sql(_: Herald, connection: Connection, group: str) -> None:
    execute(connection, "INSERT INTO senders (login, owner, cancels) VALUES (session_user, 'shop', 'any')")

    assert fetch_value(connection, "SELECT cancel(%s)", group) is False, "half of it was sent"


@pytest.mark.parametrize("cancel", [by_http, by_sql])
def test_of_a_thousand_users_in_one_request_each_is_sent_or_cancelled_and_the_counts_are_right_all_along(
    make_herald: MakeHerald, connection: Connection, cancel: Cancel
) -> None:
    herald = make_herald(**WEBHOOKS)
    herald.start_and_deliver()
    with HalfWay() as server:
        group, messages = post(herald, server)
        looks: list[Counter[str]] = []

        def is_far(count: int) -> bool:
            looks.append(look(herald, connection, server, group))
            return looks[-1]["sent"] + looks[-1]["cancelled"] >= count

        eventually(lambda: is_far(HALF), SETTLED)

        threading.Timer(0.01, server.may_go_on.set).start()
        cancel(herald, connection, group)

        eventually(lambda: is_far(USERS), SETTLED)
        received = server.ids
    assert [one["sent"] for one in looks] == sorted(one["sent"] for one in looks)
    ended: dict[str, list[str]] = dict(fetch(connection, ENDINGS, group))
    sent = {one for one, types in ended.items() if types[-1] == "message.sent"}
    cancelled = {one for one, types in ended.items() if types[-1] == "message.cancelled"}
    assert sent | cancelled == ended.keys() == set(messages)
    assert (len(sent), len(cancelled)) == (looks[-1]["sent"], looks[-1]["cancelled"])
    assert not any({"message.started", "message.sent"} & {*ended[one]} for one in cancelled)
    assert received == Counter(sent)
    assert HALF <= len(sent) < USERS
    show(f"of {USERS}: {len(sent)} sent, {len(cancelled)} cancelled, {len(looks)} looks while it ran")
    herald.assert_projection_equals_log()


def post(herald: Herald, server: HttpServer) -> tuple[str, list[str]]:
    """One request; the group that every item of its answer names, and their ids."""
    users = [f"user-{number}" for number in range(USERS)]
    item = {"user_ids": users, "event": "sale", "content": "Now", "channel": "webhook", "address": server.url()}
    answer = herald.client.post("/notifications/bulk", json={"items": [item]})
    assert answer.status_code == 202, answer.text
    items = answer.json()["items"]
    (group,) = {one["group"] for one in items}
    return group, [one["id"] for one in items]


def look(herald: Herald, connection: Connection, server: HttpServer, group: str) -> Counter[str]:
    """The counts; they lie between what the log and the receiver knew before and after."""

    def sent_by_the_log() -> int:
        return int(fetch_value(connection, "SELECT count(sent_at) FROM messages WHERE group_id = %s", group))

    before = sent_by_the_log()
    found = herald.get(f"/groups/{group}")
    after, received = sent_by_the_log(), len(server.received)
    counts = Counter[str](found["counts"])
    assert found["total"] == counts.total() == USERS
    assert before <= counts["sent"] <= min(after, received)
    assert herald.revive()
    return counts


@pytest.mark.proof
def test_a_group_outlives_kills_of_every_process_while_it_is_cancelled(
    make_herald: MakeHerald, connection: Connection
) -> None:
    herald = make_herald(**WEBHOOKS, HERALD_LEASE="3", HERALD_DELIVERY_TIMEOUT="2")
    herald.start_and_deliver()
    with HttpServer() as server:
        group, _ = post(herald, server)
        eventually(lambda: look(herald, connection, server, group)["sent"] > 0, STARTED)
        for process in ("pipeline", "relay", "api"):
            herald.kill(process)
        herald.revive()
        herald.await_api()
        by_http(herald, connection, group)

        def is_over() -> bool:
            counts = look(herald, connection, server, group)
            return counts["sent"] + counts["cancelled"] == USERS

        eventually(is_over, SETTLED)
        cancelled = "SELECT id::text FROM messages WHERE group_id = %s AND status = 'cancelled'"
        assert not server.ids.keys() & {one for (one,) in fetch(connection, cancelled, group)}
    herald.assert_projection_equals_log()
