"""Paused, restarted, shared out anew, resumed: everything is sent, and nothing twice."""

import re
from collections import Counter
from collections.abc import Iterable

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.conftest import StartHerald
from tests.proof.end_to_end.system import ROLES, SETTLED, STARTED, Herald, await_all_sent, show, statuses
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess

MESSAGES = 60
OTHERS = [pytest.param(scope, marks=pytest.mark.proof) for scope in ("topic:notifications", "channel:log")]
_DELIVERED = re.compile(
    r'"id": "([0-9a-f-]{36})"[^\n]*notification_delivered|notification_delivered[^\n]*"id": "([0-9a-f-]{36})"'
)


@pytest.mark.parametrize("scope", ["all", *OTHERS])
def test_what_is_paused_survives_restarts_and_is_sent_once_when_it_is_resumed(
    herald: Herald, connection: Connection, start_herald: StartHerald, scope: str, request: pytest.FixtureRequest
) -> None:
    herald.start_and_deliver()
    before = [herald.post_notification(f"user-{number % 20}") for number in range(MESSAGES)]
    await_all_sent(herald, connection, before)
    herald.client.put(f"/pauses/{scope}", json={"reason": "the test"}).raise_for_status()

    during = [herald.post_notification(f"user-{number % 20}") for number in range(MESSAGES)]
    eventually(lambda: statuses(connection).get("scheduled") == MESSAGES, STARTED, what="all of them wait")
    assert [herald.stop(role) for role in ROLES] == [0, 0, 0]
    herald.start()
    herald.await_api()
    more = [herald.post_notification(f"user-{number % 20}") for number in range(MESSAGES)]
    eventually(lambda: statuses(connection).get("scheduled") == 2 * MESSAGES, STARTED, what="these wait too")
    second = a_second_pipeline(herald, start_herald) if "kafka" in request.node.name else None
    herald.client.delete(f"/pauses/{scope}").raise_for_status()

    await_all_sent(herald, connection, [*before, *during, *more], SETTLED)
    delivered = deliveries([*herald.processes.values(), *([second] if second else [])])
    assert {one: delivered[one] for one in (*before, *during, *more)} == dict.fromkeys((*before, *during, *more), 1)
    assert fetch(connection, "SELECT max(attempts), sum(uncounted) FROM messages") == [(1, 0)]
    show(f"{len(delivered)} sent, none twice; held back {2 * MESSAGES} by {scope}")
    herald.assert_projection_equals_log()


def a_second_pipeline(herald: Herald, start_herald: StartHerald) -> HeraldProcess:
    """Returns once the partitions are shared; the embedded broker can leave a consumer without any."""
    second = start_herald("pipeline", **herald.settings)
    second.wait_for("pipeline_started", STARTED)
    return second


def deliveries(processes: Iterable[HeraldProcess]) -> Counter[str]:
    """How often each was delivered, by the logs."""
    text = "\n".join(process.output() for process in processes)
    return Counter(found[0] or found[1] for found in _DELIVERED.findall(text))
