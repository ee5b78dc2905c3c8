"""What rebuilding the projection of the whole log takes, and what it costs the callers of the API."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from benchmarks.figures import Contest, Figure, Result, Target, percentile
from benchmarks.run import Run
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess

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


def measure(run: Run) -> list[Result]:
    """One rebuild under load, with rows planted that are wrong, whatever the number of rounds; compared again after."""
    stage, seconds = run.stage, run.pick(3, 10)
    failed = Figure("requests that failed beside a rebuild of the log", Target(most=0))
    wrong = Figure("messages that differ from the log after the rebuild", Target(most=0))
    lock = Figure("milliseconds under the swap's lock, the longest of all partitions", Target(most=UNDER_LOCK))
    folded = Figure("rebuild: folding, messages/s", Target(least=FOLDED))
    whole = Figure("rebuild: the same with indexes, comparison and swap, messages/s", Target(least=WHOLE))
    slowdown = Contest(f"POST → 202 at {RATE}/s beside a rebuild, p99, ms", "without it")
    with run.copy() as database:
        stage.fetch(database, PLANTED)
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
    assert differences(rebuilt) == WRONG, rebuilt
    failed.add(disturbed["refused"])
    wrong.add(differences(checked))
    lock.add(round(max(one["swap"]["seconds"] for one in rebuilt) * 1000))
    largest = max(rebuilt, key=lambda partition: int(partition["messages"]))
    folded.add(largest["messages"] / largest["folding_seconds"])
    whole.add(largest["messages"] / largest["seconds"])
    slowdown.add(percentile(disturbed["milliseconds"], 99), percentile(quiet["milliseconds"], 99))
    return [failed, wrong, lock, folded, whole, slowdown]


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
