"""The API at 32 connections; its rival inserts the same two rows from 32 threads, without HTTP."""

from typing import Any

from benchmarks.figures import Contest, Delay, Result
from benchmarks.stage import Stage

CONNECTIONS = 32


def measure(stage: Stage, *, rounds: int, is_quick: bool) -> list[Result]:
    """Requests answered 202 per second, against transactions committed per second."""
    seconds = 3 if is_quick else 10
    contest = Contest(f"api: POST /notifications, {CONNECTIONS} connections", "requests/s", 0.9, "bare psycopg2")
    answers: list[float] = []
    for _ in range(rounds):
        database = stage.database()
        settings = stage.settings(database)
        load = post(stage, settings, seconds)
        stage.server.execute("CHECKPOINT")
        bare = stage.measure("benchmarks.bare_inserts", settings, threads=CONNECTIONS, seconds=seconds)
        stage.drop(database)
        contest.add(load["rate"], bare["rate"])
        answers += load["milliseconds"]
    return [contest, Delay("api: POST → 202", answers, {})]


def post(stage: Stage, settings: dict[str, str], seconds: float) -> Any:
    """What the load generator says of an API that was just started."""
    with stage.api(settings) as port:
        arguments = {"port": port, "connections": CONNECTIONS, "seconds": seconds}
        return stage.measure("benchmarks.load", settings, **arguments)
