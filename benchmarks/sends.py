"""A transaction of a caller's: a row of its own, and `send` or a bare INSERT of the same bytes beside it."""

from contextlib import closing
from time import monotonic

import msgspec

from benchmarks.figures import Contest, Figure, Result, Target, percentile
from benchmarks.letters import SIZE
from benchmarks.machine import watched
from benchmarks.pgbench import pgbench
from benchmarks.run import Run
from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.statements import fetch_value

CASES = {1: Target(most=1.5), 32: Target(most=3.0)}  # connections
COMMITS = ("on", "off")  # synchronous_commit
FIRST_CALLS = 50  # new connections
FIRST = Target(most=10.0)  # milliseconds
THREADS = 2  # of pgbench
DATA = msgspec.json.encode({"order": 7, "text": "x" * (SIZE - 25)}).decode()
TABLES = """
CREATE TABLE public.bench_orders (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, customer text NOT NULL, total integer);
CREATE TABLE public.bench_outbox (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(), topic text NOT NULL, key text, data json)
"""
OWN = """\\set customer random(1, 10000)
BEGIN;
INSERT INTO public.bench_orders (customer, total) VALUES (:customer::text, 7);
{}
COMMIT;
"""
SEND = "SELECT herald.send('generic_topic', :data, :customer::text);"
INSERT = "INSERT INTO public.bench_outbox (topic, key, data) VALUES ('generic_topic', :customer::text, :data);"


def measure(run: Run) -> list[Result]:
    """Milliseconds of a whole transaction, and of a connection's first call."""
    contests = {
        (connections, commit): Contest(
            f"row and send, {connections} connection{'s' * (connections > 1)}, synchronous_commit {commit}, ms",
            "row and bare INSERT",
            target,
        )
        for connections, target in CASES.items()
        for commit in COMMITS
    }
    first = Figure("the first send of a connection, p99, ms", FIRST)
    with run.copy() as database:
        run.stage.fetch(database, TABLES)
        for _ in range(run.rounds):
            for (connections, commit), contest in contests.items():
                ours, idle = _transaction(run, database, SEND, connections, commit)
                theirs, rival_idle = _transaction(run, database, INSERT, connections, commit)
                contest.add(ours, theirs, (idle, rival_idle))
            first.add(percentile([_first_call(run.stage.server.url(database)) for _ in range(FIRST_CALLS)], 99))
    return [*contests.values(), first]


def _transaction(run: Run, database: str, statement: str, connections: int, commit: str) -> tuple[float, float]:
    """The mean, and percent of the machine that were idle; what was written before is on disk."""
    run.stage.server.execute("CHECKPOINT")
    much = (f"--client={connections}", f"--jobs={min(THREADS, connections)}", f"--time={run.pick(2, 8, 30):.0f}")
    with watched() as span:
        mean = pgbench(run.stage, database, OWN.format(statement), *much, f"--define=data={DATA}", commit=commit)
    return mean, span.idle


def _first_call(url: str) -> float:
    with closing(connect_plainly(url)) as connection:
        began = monotonic()
        fetch_value(connection, "SELECT herald.send('generic_topic', %s, '7')::text", DATA)
        connection.commit()
        return (monotonic() - began) * 1000
