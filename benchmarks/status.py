"""How long a person waits for `herald status`, the start of Python and the imports included."""

import json
import subprocess
from time import perf_counter

from benchmarks.figures import Figure, Result, Target
from benchmarks.relay import TOPICS
from benchmarks.run import Run
from tests.servers.herald import herald_environment

TIMES = 11  # of a round: what else the machine does slows some of them
TARGET = 0.3  # seconds


def measure(run: Run) -> list[Result]:
    """The quickest of each round, on an empty log and on the whole one; a relay leads and has made the topics."""
    stage = run.stage
    found: list[Result] = []
    for rows, database in ((0, stage.database()), (run.rows, run.whole)):
        stage.make_topics(*TOPICS)
        figure = Figure(f"`herald status`, seconds, a log of {rows:,} messages", Target(most=TARGET))
        settings = stage.settings(database)
        environment = herald_environment(settings)
        command = [str(stage.side.herald), "status", "--json"]
        with stage.herald("relay", settings) as relay:
            relay.wait_for('"leading"', 60)
            for _ in range(run.rounds):
                figure.add(min(_seconds(command, environment) for _ in range(TIMES)))
        found.append(figure)
    return found


def _seconds(command: list[str], environment: dict[str, str]) -> float:
    began = perf_counter()
    told = subprocess.run(command, env=environment, check=True, capture_output=True)
    took = perf_counter() - began
    assert json.loads(told.stdout)["kafka"]["error"] is None
    return took
