"""What rebuilding the projection of 1,000,000 messages takes, and what it costs the callers of the API."""

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from benchmarks.figures import Bound, Pace, Result, Slowdown, percentile
from benchmarks.sent_messages import fill
from benchmarks.stage import Stage
from herald.outbox.postgres.statements import execute
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.postgres import connect_to_tables

CONNECTIONS = 16
RATE = 200  # notifications per second
LONGEST = 3600.0  # seconds
UNDER_LOCK = 200  # milliseconds
FOLDED = 20_000.0  # messages per second
WHOLE = 10_000.0  # messages per second
WRONG = 10
PLANTED = """
UPDATE messages SET attempts = 7 WHERE id IN (SELECT id FROM messages WHERE status = 'sent' ORDER BY id LIMIT 5);
DELETE FROM messages WHERE id IN (SELECT id FROM messages WHERE status = 'sent' ORDER BY id DESC LIMIT 5)
"""


def measure(stage: Stage, *, rounds: int, is_quick: bool) -> list[Result]:
    """One rebuild under load, with rows planted that are wrong, whatever the number of rounds; compared again after."""
    del rounds  # a million once is enough
    count, seconds = (100_000, 3) if is_quick else (1_000_000, 10)
    failed = Bound(f"rebuild: requests that failed beside a rebuild of {count:,} messages", 0)
    wrong = Bound("rebuild: messages that differ from the log after it", 0)
    lock = Bound("rebuild: milliseconds under the swap's lock, the longer of two partitions", UNDER_LOCK)
    folded = Pace(f"rebuild: folding {count:,} messages of three events each", "messages/s", FOLDED)
    whole = Pace("rebuild: the same with indexes, comparison and swap", "messages/s", WHOLE)
    slowdown = Slowdown(f"rebuild: p99 of POST → 202 at {RATE}/s", "ms", None)
    database = stage.database()
    _prepare(stage, database, count)
    settings = stage.settings(database)
    with stage.api(settings) as port:
        load = {"port": port, "connections": CONNECTIONS, "rate": RATE}
        quiet = stage.measure("benchmarks.load", settings, **load, seconds=seconds)
        with stage.herald("rebuild", settings, "--json") as process, ThreadPoolExecutor(1) as threads:
            beside = threads.submit(
                stage.measure, "benchmarks.load", settings, **load, seconds=LONGEST, beside=process.pid
            )
            rebuilt = await_result(process)
            disturbed = beside.result()
    with stage.herald("rebuild", settings, "--check", "--json") as process:
        checked = await_result(process)
    stage.drop(database)
    assert differences(rebuilt) == WRONG, rebuilt
    failed.add(disturbed["refused"])
    wrong.add(differences(checked))
    lock.add(round(max(one["swap"]["seconds"] for one in rebuilt) * 1000))
    folded.add(rebuilt[0]["messages"] / rebuilt[0]["folding_seconds"])
    whole.add(rebuilt[0]["messages"] / rebuilt[0]["seconds"])
    slowdown.add(percentile(quiet["milliseconds"], 99), percentile(disturbed["milliseconds"], 99))
    return [failed, wrong, lock, folded, whole, slowdown]


def _prepare(stage: Stage, database: str, count: int) -> None:
    with closing(connect_to_tables(stage.server.url(database))) as connection:
        connection.autocommit = True
        fill(connection, count)
        execute(connection, "VACUUM (ANALYZE) outbox, messages")
        execute(connection, PLANTED)
        execute(connection, "CHECKPOINT")


def await_result(process: HeraldProcess) -> list[dict[str, Any]]:
    """Its partitions, once it has ended."""
    eventually(lambda: not process.running, LONGEST, what="the rebuild is done")
    told = [line for line in process.output().splitlines() if line.startswith('{"partitions"')]
    assert told, process.tail()
    found: list[dict[str, Any]] = json.loads(told[0])["partitions"]
    assert found, process.tail()
    return found


def differences(partitions: list[dict[str, Any]]) -> int:
    """How many messages were not as the log says."""
    return sum(difference["messages"] for one in partitions for difference in one["differences"])
