"""The API over few and many connections; its rival inserts the same two rows from as many threads, without HTTP."""

from typing import Any

from benchmarks.figures import ANY, Contest, Figure, Result, Target, percentile
from benchmarks.run import Run
from benchmarks.stage import Stage

CONNECTIONS = 32
FEWER = (1, 8)
RIVAL = "bare psycopg2"
LEAST = Target(least=0.9)


def measure(run: Run) -> list[Result]:
    """Requests answered 202 per second, against transactions committed per second."""
    seconds, counts = run.pick(2, 5, 30), (*FEWER, CONNECTIONS)
    contests = {
        count: Contest(f"POST, {count} connections, requests/s", RIVAL, LEAST if count == CONNECTIONS else ANY)
        for count in counts
    }
    p50, p99 = (Figure(f"POST → 202, {CONNECTIONS} connections, p{share}, ms") for share in (50, 99))
    with run.copy() as database:
        settings = run.stage.settings(database)
        for _ in range(run.rounds):
            for count, contest in contests.items():
                load = post(run.stage, settings, seconds, connections=count)
                run.stage.server.execute("CHECKPOINT")
                bare = run.stage.measure("benchmarks.bare_inserts", settings, threads=count, seconds=seconds)
                contest.add(load["rate"], bare["rate"], (load["idle"], bare["idle"]))
            p50.add(percentile(load["milliseconds"], 50), load["idle"])  # of the last, which has the most
            p99.add(percentile(load["milliseconds"], 99), load["idle"])
    return [*contests.values(), p50, p99]


def post(stage: Stage, settings: dict[str, str], seconds: float, *, connections: int = CONNECTIONS) -> Any:
    """What the load generator says of an API that was just started."""
    with stage.api(settings) as port:
        arguments = {"port": port, "connections": connections, "seconds": seconds}
        return stage.measure("benchmarks.load", settings, **arguments)
