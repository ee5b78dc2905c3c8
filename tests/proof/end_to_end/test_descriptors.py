"""A pipeline that runs out of descriptors burns no attempts, blames nobody, and delivers as they allow."""

import resource
from pathlib import Path

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.proof.end_to_end.destinations import WEBHOOKS, letter
from tests.proof.end_to_end.system import SETTLED, STARTED, Herald, MakeHerald, show, statuses
from tests.servers.eventually import eventually
from tests.servers.http_server import HttpServer

MESSAGES = 200
FEW = 64
NONE = 5  # the numbers below are taken from its start to its end: three files, and the pair that wakes it for signals
GIVEN_BACK = "SELECT count(*) FROM messages WHERE key LIKE 'u-%%' AND uncounted > 0"
# an attempt under way is neither burned nor given back yet
COUNTED = """
SELECT sum(attempts), sum(counted), max(counted)
FROM messages, LATERAL (SELECT attempts - uncounted - (status = 'sending')::integer AS counted) AS one
WHERE key LIKE 'u-%%'
"""


def limit(herald: Herald, descriptors: int) -> None:
    """Both limits, as `ulimit -n` sets them."""
    _, hard = resource.prlimit(herald.processes["pipeline"].pid, resource.RLIMIT_NOFILE)
    resource.prlimit(herald.processes["pipeline"].pid, resource.RLIMIT_NOFILE, (descriptors, hard))


def opened(herald: Herald) -> int:
    return len(list(Path(f"/proc/{herald.processes['pipeline'].pid}/fd").iterdir()))


def post(herald: Herald, server: HttpServer) -> None:
    items = [letter(f"u-{number}", "webhook", server.url()) for number in range(MESSAGES)]
    assert herald.client.post("/notifications/bulk", json={"items": items}).status_code == 202


@pytest.mark.proof
def test_without_a_descriptor_left_no_attempt_is_burned_and_all_is_sent_once_there_are_some(
    make_herald: MakeHerald, connection: Connection
) -> None:
    herald = make_herald(**WEBHOOKS)
    herald.start_and_deliver()
    limit(herald, NONE)

    with HttpServer() as server:
        post(herald, server)
        herald.processes["pipeline"].wait_for("machine_lacks", STARTED)
        eventually(lambda: fetch(connection, GIVEN_BACK) == [(MESSAGES,)], STARTED, what="all were given back")
        ((given_back, burned, _),) = fetch(connection, COUNTED)
        assert (burned, fetch(connection, "SELECT FROM breakers"), len(server.received)) == (0, [], 0)

        limit(herald, 1024)
        eventually(lambda: statuses(connection) == {"sent": MESSAGES + 1}, SETTLED, what="all are sent")

        assert set(server.ids.values()) == {1}
    assert fetch(connection, COUNTED)[0][1:] == (MESSAGES, 1)
    show(f"no descriptor left: {given_back} attempts given back, {burned} burned, no breaker")
    herald.assert_projection_equals_log()


@pytest.mark.proof
def test_a_pipeline_that_starts_with_64_descriptors_delivers_everything(
    make_herald: MakeHerald, connection: Connection
) -> None:
    herald = make_herald(**WEBHOOKS)
    herald.start("pipeline")
    pid = herald.processes["pipeline"].pid
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (FEW, FEW))
    herald.start("api", "relay")
    herald.await_api()

    with HttpServer() as server:
        post(herald, server)
        eventually(lambda: statuses(connection) == {"sent": MESSAGES}, SETTLED, what="all are sent")

        assert set(server.ids.values()) == {1}
    assert "few_descriptors" in herald.processes["pipeline"].output()
    assert fetch(connection, COUNTED)[0][1:] == (MESSAGES, 1)
    assert fetch(connection, "SELECT FROM breakers") == []
    show(f"{opened(herald)} of {FEW} descriptors in use afterwards")
