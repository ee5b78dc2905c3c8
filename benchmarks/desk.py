"""What requeuing 10,000 dead letters by filter costs the callers of the API."""

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.figures import Contest, Result, Target, percentile
from benchmarks.relay import TOPICS
from benchmarks.run import Run
from benchmarks.stage import Stage
from tests.servers.eventually import eventually

CONNECTIONS = 16
RATE = 100  # notifications per second
TARGET = Target(most=2.0)
SETTLE = 120.0  # seconds
REASON = "HTTP 503 Service Unavailable"  # no other dead letter of the log has it
KILL = f"""
WITH killed AS (
    UPDATE messages SET status = 'dead', reason = '{REASON} (attempt 8 of 8)', attempts = 8, sent_at = NULL
    WHERE id IN (SELECT id FROM messages WHERE status = 'sent' AND topic = 'notifications'
        ORDER BY id DESC LIMIT %(count)s)
    RETURNING id
)
INSERT INTO unsent SELECT id, 'dead', '{REASON}' FROM killed
"""
DEAD = f"SELECT count(*) FROM unsent WHERE error = '{REASON}'"
UNDER_WAY = """
SELECT count(*) FROM unfinished AS u JOIN messages AS m ON m.id = u.id WHERE m.status IN ('pending', 'sending')
"""


def measure(run: Run) -> list[Result]:
    """Milliseconds from POST to 202, without and with a job that ends after the load does."""
    count, seconds, stage = int(run.pick(1_000, 10_000)), run.pick(3, 10), run.stage
    name = f"POST → 202 at {RATE}/s beside a requeue of {count:,} dead letters, p99, ms"
    slowdown = Contest(name, "without it", TARGET)
    with run.copy() as database:
        settings = stage.settings(database)
        for _ in range(run.rounds):
            stage.make_topics(*TOPICS)
            stage.fetch(database, KILL, {"count": count})
            with (
                stage.api(settings) as port,
                stage.herald("relay", settings),
                stage.module("benchmarks.silent_pipeline", settings),
            ):
                desk = Desk(stage, database, settings, port)
                desk.settle()
                quiet = desk.post(seconds=seconds)
                slowdown.add(desk.post_beside_requeue(count, seconds=seconds), quiet)
    return [slowdown]


@dataclass(frozen=True)
class Desk:
    """The processes, and the one who decides."""

    stage: Stage
    database: str
    settings: dict[str, str]
    port: int

    def settle(self) -> None:
        """Wait for the relay and the pipeline, which begin with the first requests of all that is dead."""
        self.post(seconds=2)  # behind those, on every partition
        eventually(lambda: self.stage.fetch(self.database, UNDER_WAY) == [(0,)], SETTLE, what="all else is sent")

    def post(self, *, seconds: float) -> float:
        """The p99 in milliseconds."""
        arguments = {"port": self.port, "connections": CONNECTIONS, "rate": RATE, "seconds": seconds}
        return percentile(self.stage.measure("benchmarks.load", self.settings, **arguments)["milliseconds"], 99)

    def post_beside_requeue(self, count: int, *, seconds: float) -> float:
        """The same while a job goes on; first a dry run, which changes nothing."""
        chosen = {"filter": {"error": REASON}}
        assert self._decide(chosen)["matching"] == count
        assert self.stage.fetch(self.database, DEAD) == [(count,)]
        with ThreadPoolExecutor(1) as threads:
            job = self._decide({**chosen, "dry_run": False, "rate": count / (1.7 * (seconds + 1))})
            load = threads.submit(self.post, seconds=seconds)
            p99 = load.result()
        reached = self._look(job["id"])
        assert count / 2 < reached["done"] < count, f"the job was not under way to the end: {reached}"
        eventually(lambda: self._look(job["id"])["status"] == "finished", SETTLE, what="the job is done")
        eventually(lambda: self.stage.fetch(self.database, UNDER_WAY) == [(0,)], SETTLE, what="all is sent")
        assert self._look(job["id"])["done"] == count
        return p99

    def _decide(self, body: dict[str, Any]) -> Any:
        url = f"http://127.0.0.1:{self.port}/dead-letters/requeues"
        request = Request(url, json.dumps(body).encode(), {"content-type": "application/json"})
        with urlopen(request, timeout=30) as answer:  # noqa: S310 - this machine
            return json.load(answer)

    def _look(self, job: str) -> Any:
        with urlopen(f"http://127.0.0.1:{self.port}/dead-letters/requeues/{job}", timeout=30) as answer:
            return json.load(answer)
