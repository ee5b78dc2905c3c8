"""The API over few and many connections, in one process and in two, beside two rivals.

One inserts the same two rows from as many threads, without HTTP; the other answers over HTTP, and does nothing.
"""

from typing import Any

from benchmarks.figures import ANY, Contest, Figure, Result, Target, percentile
from benchmarks.run import Run
from benchmarks.stage import Stage
from benchmarks.waiting import answers, until
from tests.servers.ports import free_port

CONNECTIONS = 32
FEWER = (1, 8)
CASES = (*((count, 1) for count in FEWER), (CONNECTIONS, 2), (CONNECTIONS, 1))  # connections, processes
USUAL = (CONNECTIONS, 1)
BARE, NO_OP = "bare psycopg2", "Litestar that does nothing"
LEAST = Target(least=0.9)
READY = 30.0  # seconds


def measure(run: Run) -> list[Result]:
    """Requests answered 202 per second, against transactions committed, and against requests answered by nothing."""
    seconds = run.pick(2, 5, 30)
    contests = {case: _contests(*case) for case in CASES}
    p50, p99 = (Figure(f"POST → 202, {CONNECTIONS} connections, p{share}, ms") for share in (50, 99))
    with run.copy() as database:
        settings = run.stage.settings(database)
        for _ in range(run.rounds):
            for (connections, processes), (beside_bare, beside_no_op) in contests.items():
                load = post(run.stage, settings, seconds, connections=connections, processes=processes)
                run.stage.server.execute("CHECKPOINT")
                bare = run.stage.measure("benchmarks.bare_inserts", settings, threads=connections, seconds=seconds)
                no_op = _post_to_no_op(run.stage, settings, seconds, connections=connections, processes=processes)
                beside_bare.add(load["rate"], bare["rate"], (load["idle"], bare["idle"]))
                beside_no_op.add(load["rate"], no_op["rate"], (load["idle"], no_op["idle"]))
                if (connections, processes) == USUAL:
                    p50.add(percentile(load["milliseconds"], 50), load["idle"])
                    p99.add(percentile(load["milliseconds"], 99), load["idle"])
    return [*(contest for pair in contests.values() for contest in pair), p50, p99]


def post(
    stage: Stage, settings: dict[str, str], seconds: float, *, connections: int = CONNECTIONS, processes: int = 1
) -> Any:
    """What the load generator says of an API that was just started."""
    with stage.api(settings, processes) as port:
        return _load(stage, settings, seconds, port=port, connections=connections)


def _contests(connections: int, processes: int) -> tuple[Contest, Contest]:
    """The pictures know the first by its name; of the second both sides have so many processes."""
    post, several = f"POST, {connections} connections", f", {processes} process{'es' * (processes > 1)}"
    target = LEAST if (connections, processes) == USUAL else ANY
    beside_bare = Contest(f"{post}{several if processes > 1 else ''}, requests/s", BARE, target)
    return beside_bare, Contest(f"{post}{several} on both sides, requests/s", NO_OP)


def _post_to_no_op(stage: Stage, settings: dict[str, str], seconds: float, *, connections: int, processes: int) -> Any:
    port = free_port()
    with stage.module("benchmarks.rivals.no_op", settings, str(port), str(processes)) as process:
        until(lambda: answers(port), process, READY, what="it listens")
        return _load(stage, settings, seconds, port=port, connections=connections)


def _load(stage: Stage, settings: dict[str, str], seconds: float, *, port: int, connections: int) -> Any:
    return stage.measure("benchmarks.load", settings, port=port, connections=connections, seconds=seconds)
