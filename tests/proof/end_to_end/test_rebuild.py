"""The projection is made again, and the log published again, while everything works."""

import json
import os

import pytest

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from tests.conftest import StartHerald
from tests.outbox.connections import execute_and_commit
from tests.proof.end_to_end.destinations import WEBHOOKS
from tests.proof.end_to_end.sent_messages import EVENT, fill
from tests.proof.end_to_end.system import Herald, MakeHerald, await_all_sent, show
from tests.proof.faults.ledger import Entry, Load
from tests.proof.faults.provider import Provider
from tests.servers.eventually import eventually

MESSAGES = int(os.environ.get("MESSAGES", "2000"))
DONE = 60.0 + MESSAGES / 500  # seconds
RATE = 150.0  # requests per second
USERS = [f"user {number}" for number in range(20)]
STARTS = "SELECT count(*) FROM outbox WHERE type = 'message.started'"


def spoil(connection: Connection) -> set[tuple[str, str, int]]:
    """Wrong rows among those that nobody touches any more; returns what has to be found."""
    chosen = f"SELECT id FROM messages WHERE event = '{EVENT}' ORDER BY id LIMIT 3 OFFSET {{}}"
    execute_and_commit(connection, f"UPDATE messages SET attempts = 9 WHERE id IN ({chosen.format(0)})")
    execute_and_commit(connection, f"DELETE FROM messages WHERE id IN ({chosen.format(10)})")
    return {("different", "attempts", 3), ("missing", "", 3)}


@pytest.mark.proof
def test_a_rebuild_under_load_fails_no_request_and_equals_the_live_projection(
    make_herald: MakeHerald, connection: Connection, start_herald: StartHerald
) -> None:
    herald = make_herald(**WEBHOOKS)
    herald.start_and_deliver()
    fill(connection, MESSAGES)  # the relay publishes them once more, and the pipeline drops them
    ports = [int(herald.settings["HERALD_PORT"])]
    with Provider() as provider, Load(ports, provider.address, rate=RATE) as load:
        eventually(lambda: load.ledger.accepted > 20, 60, what="requests are answered")
        planted = spoil(connection)
        rebuilding = start_herald("rebuild", "--json", **herald.settings)
        exit_code = eventually(lambda: exited(rebuilding.exit_code), DONE, what="the rebuild is done")
        answered = load.ledger.accepted
        eventually(lambda: load.ledger.accepted > answered + 20, 60, what="requests are answered after it")
        load.stop()
        await_all_sent(herald, connection, [str(entry.id) for entry in load.ledger.of("accepted")])

    assert exit_code == [0], rebuilding.tail()
    assert failed(load) == []
    assert found(rebuilding.tail()) == planted
    assert herald.assert_projection_equals_log() == MESSAGES + load.ledger.accepted + 1
    show(rebuilding.tail())


def failed(load: Load) -> list[Entry]:
    """Requests that got no answer at once, or one that left open what became of them."""
    return [entry for entry in load.ledger.entries if entry.outcome == "unknown" or entry.tries != 1]


def exited(code: int | None) -> list[int]:
    """Something that is true for exit code 0 as well."""
    return [] if code is None else [code]


def found(output: str) -> set[tuple[str, str, int]]:
    told = next(line for line in output.splitlines() if line.startswith('{"partitions"'))
    return {
        (one["kind"], one["columns"], one["messages"])
        for partition in json.loads(told)["partitions"]
        for one in partition["differences"]
    }


def test_what_is_replayed_is_delivered_to_nobody_again(
    herald: Herald, connection: Connection, start_herald: StartHerald
) -> None:
    herald.start_and_deliver()
    await_all_sent(herald, connection, [herald.post_notification(user) for user in USERS])
    ((starts,),) = fetch(connection, STARTS)

    replaying = start_herald("replay", "--topic", "notifications", **herald.settings)
    assert eventually(lambda: exited(replaying.exit_code), 60, what="all is published again") == [0]

    replaying.wait_for("21 of 21 records of notifications were published again")
    behind_the_copies = [herald.post_notification(user) for user in USERS]  # on every partition that has any
    await_all_sent(herald, connection, behind_the_copies)
    assert fetch(connection, STARTS) == [(starts + len(USERS),)]
    herald.assert_projection_equals_log()
