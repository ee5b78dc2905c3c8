"""What it costs to watch: the same load with metrics, scrapes and lines in the log, and without any of them."""

import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Event

from benchmarks.figures import Contest, Result, Target
from benchmarks.flow import READY, Flow
from benchmarks.machine import nanoseconds
from benchmarks.relay import TOPICS
from benchmarks.run import FEW, Run
from benchmarks.waiting import answers, until
from tests.servers.child import Child
from tests.servers.meanwhile import Meanwhile
from tests.servers.ports import free_port

ROLES = ("api", "relay", "pipeline")
STEADY, BACKLOG = 200.0, 2_000.0  # requests per second; the second is more than two cores deliver
SCRAPE = 5.0  # seconds between two scrapes of a process
MOST = Target(most=1.05)
RIVAL = "without metrics, scrapes and lines"
SIDES = ("watched", "blind")
MICROSECOND = 1_000  # nanoseconds


def measure(run: Run) -> list[Result]:
    """Microseconds of processor that API, relay and pipeline use for each message delivered; sides begin in turns."""
    contests = {
        STEADY: Contest(f"CPU per delivered message at {STEADY:g}/s, µs", RIVAL, MOST),
        BACKLOG: Contest("CPU per delivered message under a backlog, µs", RIVAL, MOST),
    }
    database = run.log(min(run.rows, FEW))
    for number in range(run.rounds):
        found = {side: _turn(run, database, side) for side in (SIDES if number % 2 else SIDES[::-1])}
        for rate, contest in contests.items():
            (ours, idle), (theirs, their_idle) = (found[side][rate] for side in SIDES)
            contest.add(ours, theirs, (idle, their_idle))
    run.stage.drop(database)
    return list(contests.values())


def _turn(run: Run, database: str, side: str) -> dict[float, tuple[float, float]]:
    """By rate: microseconds for each message, and percent of the machine's time that was left."""
    with _processes(run, database, side) as (flow, processes):
        return {
            STEADY: _cost(flow, processes, rate=STEADY, seconds=run.pick(3, 10)),
            BACKLOG: _cost(flow, processes, rate=BACKLOG, seconds=run.pick(1, 4)),
        }


def _cost(flow: Flow, processes: Sequence[Child], *, rate: float, seconds: float) -> tuple[float, float]:
    before = sum(nanoseconds(one.pid) for one in processes)
    course = flow.post(seconds=seconds, rate=rate, warm_up=0.0)
    used = sum(nanoseconds(one.pid) for one in processes) - before
    assert not course.unsent, f"{course.unsent} were not sent"
    return used / MICROSECOND / len(course.sent), course.idle


@contextmanager
def _processes(run: Run, database: str, side: str) -> Iterator[tuple[Flow, list[Child]]]:
    stage, port, is_watched = run.stage, free_port(), side == "watched"
    ports = {role: free_port() for role in ROLES} if is_watched else {}
    level = "info" if is_watched else "warning"
    settings = stage.settings(database, HERALD_PORT=str(port), HERALD_LOG_LEVEL=level)
    stage.make_topics(*TOPICS)
    with ExitStack() as stack:
        processes = [
            stack.enter_context(
                stage.module(
                    "benchmarks.sight", {**settings, "HERALD_METRICS_PORT": str(ports.get(role, 0))}, side, role
                )
            )
            for role in ROLES
        ]
        until(lambda: answers(port), processes[0], READY, what="the API answers")
        flow = Flow(stage, database, port)
        flow.warm_up()
        with _scraping(list(ports.values())):
            yield flow, processes


def _scraping(ports: Sequence[int]) -> Meanwhile:
    def scrape(stop: Event) -> None:
        while not stop.wait(SCRAPE):
            for port in ports:
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=SCRAPE) as answer:
                    answer.read()

    return Meanwhile(scrape)
