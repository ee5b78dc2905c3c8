"""Rows that nobody foresaw, written straight into the log by a role that may: the relay passes every one."""

import os
from random import Random
from typing import Any
from uuid import UUID

from uuid_utils.compat import uuid7

from herald.outbox.message.events import TYPES
from herald.outbox.operate.status.database import BACKLOG
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import fetch
from tests.conftest import StartHerald
from tests.outbox.connections import accepted, connected, notification
from tests.outbox.relay.test_relay import Topic
from tests.outbox.relay.test_set_aside import write
from tests.servers.eventually import eventually

SEED, ROWS = int(os.environ.get("SEED", "20261128")), int(os.environ.get("ROWS", "200"))
JSON = [
    "{}", "[]", "null", "true", "0", "1e400", "-1e-300", '"text"', '"\\ud83d\\ude00"', '{"a": {"b": [1]}}', "[[[]]]",
]  # fmt: skip
TEXTS = [
    "", " ", "notifications", "generic_topic", "dead_letters", ".", "..", "a b", "ä", "x" * 249, "x" * 250,
    "x" * 70_000, "\n", "\x01", "\U0001f600", "__consumer_offsets", "notifications\n", "%s", "'; --", "null",
]  # fmt: skip
REQUESTS = ["1", "0", "-1", "2147483648", "1.5", "1e3", "null", '"1"', '"x"', "[1]", '{"a": 1}', '"' + "9" * 30 + '"']
DATES = ["2026-01-01", "infinity", "-infinity", "4713-01-01 BC", "0001-01-01", "294276-12-31", "now"]


def random_row(chance: Random, known: list[UUID]) -> dict[str, Any]:
    """Something of each column; most of it wrong."""
    request, traceparent = chance.choice(REQUESTS), chance.choice(JSON)
    fields = f'"request": {request}, "traceparent": {traceparent}, "data_version": {chance.choice(REQUESTS)}'
    payload = chance.choice([*JSON, *[f"{{{fields}}}"] * len(JSON)])
    return {
        "id": str(chance.choice([uuid7(), uuid7(), chance.choice(known)])),
        "version": chance.choice([1, 2, 3, 7, 2_147_483_647]),
        "type": chance.choice(sorted(TYPES)),
        "topic": chance.choice([*TEXTS, "notifications", "notifications", "notifications"]),
        "key": chance.choice([None, *TEXTS]),
        "data": chance.choice([None, *JSON, f'"{"x" * chance.choice([900_000, 1_100_000, 2_100_000])}"']),
        "payload": payload,
        "recorded_at": chance.choice(DATES),
    }


def write_random(connection: Connection, chance: Random, known: list[UUID]) -> int:
    written = 0
    while written < ROWS:
        try:
            write(connection, **random_row(chance, known))
            written += 1
        except PostgresError:
            connection.rollback()  # a constraint, or a version that is there
    return written


def test_random_rows_in_the_log_stop_nothing(database: str, broker: str, start_herald: StartHerald) -> None:
    chance = Random(SEED)  # noqa: S311 - chance that can be repeated, no secret
    with connected(database) as connection:
        before = accepted(connection, notification(), notification())
        write_random(connection, chance, before)
        after = accepted(connection, notification())

        relay = start_herald("relay", DATABASE_URL=database, KAFKA_BOOTSTRAP_SERVERS=broker)

        topic = Topic(broker)
        good = {f"{one}.1" for one in before + after}

        def published() -> set[str]:
            found = (dict(record.headers() or []) for record in topic.read())
            return {str(one["ce_id"], "utf-8") for one in found if isinstance(one.get("ce_id"), bytes)}

        eventually(lambda: good <= published(), 60)
        eventually(lambda: fetch(connection, BACKLOG)[0][3] == 0, 30, what="the cursor has passed every row")
        aside = fetch(connection, "SELECT count(*) FROM set_aside")[0][0]
    assert aside > ROWS / 10
    assert "term_ended" not in relay.output()
