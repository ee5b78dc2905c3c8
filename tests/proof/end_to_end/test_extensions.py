"""A topic that only some processes have: the others know its name, and its messages wait for a pipeline that has it."""

from pathlib import Path

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.conftest import StartHerald
from tests.proof.end_to_end.system import SETTLED, STARTED, Herald, await_all_sent
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess

ORDER = {"topic": "orders", "data": {"order_id": "o-1"}}
NOTED = """
SELECT count(*) > 0 FROM messages JOIN relay_pages ON pg_visible_in_snapshot(requested_in, snapshot) WHERE id = %s
"""
SHOP = {
    "shop.py": "TOPICS = {'orders': 'shop_orders'}",
    "shop_orders.py": "from herald.pipeline.topic import Topic\ntopic = Topic(data=dict, handle=lambda *_: None)\n",
}


@pytest.fixture
def pipeline(herald: Herald, start_herald: StartHerald, tmp_path: Path) -> HeraldProcess:
    """The only process that has the extension; started."""
    for name, text in SHOP.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    return start_herald("pipeline", **herald.settings, PYTHONPATH=str(tmp_path), HERALD_EXTENSIONS="shop")


@pytest.mark.parametrize("each_broker", ["tansu"], indirect=True)
def test_what_one_pipeline_has_is_known_to_all_and_waits_for_it(
    herald: Herald, connection: Connection, pipeline: HeraldProcess
) -> None:
    herald.start("api", "relay")
    pipeline.wait_for("pipeline_started", STARTED)  # the relay has made the topic
    herald.await_api()
    assert herald.stop("api") == 0
    herald.start("api")
    herald.await_api()
    await_all_sent(herald, connection, [herald.post("/messages", ORDER)])
    assert pipeline.stop() == 0

    waiting = herald.post("/messages", ORDER)
    herald.start("pipeline")
    others = [herald.post_notification(f"user-{number}") for number in range(3)]
    for other in others:
        await_passed(herald, connection, other)

    assert (herald.look(waiting)["status"], herald.look(waiting)["request"]) == ("pending", 1)
    assert herald.stop("pipeline") == 0
    pipeline.start()
    await_all_sent(herald, connection, [waiting, *others])
    assert herald.look(waiting)["request"] == 1


def await_passed(herald: Herald, connection: Connection, message: str) -> None:
    """It is sent, and a page shows it: one is noted every second, and between two of them the scheduler has swept."""
    eventually(lambda: herald.look(message)["status"] == "sent", SETTLED)
    eventually(lambda: fetch(connection, NOTED, message) == [(True,)], SETTLED)
