"""What the relay's looking costs while nobody sends, and how soon a lone send is sent all the same."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from time import time

from benchmarks.figures import Figure, Result, Target
from benchmarks.machine import nanoseconds
from benchmarks.pgbench import pgbench
from benchmarks.relay import TOPICS
from benchmarks.run import Run
from benchmarks.stage import Stage
from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.statements import fetch_value
from herald.outbox.relay.session import NAME
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess

WRITES = 2_000  # unrelated transactions per second
REST = 3.0  # seconds without a message before a lone one
SENT = 60.0  # seconds until one must be sent
NANOSECONDS = 1e9
TABLE = "CREATE TABLE public.bench_writes (id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, n integer)"
WRITE = "INSERT INTO public.bench_writes (n) VALUES (7);\n"
SESSION = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE %(name)s"
SENT_AT = "SELECT coalesce(extract(epoch FROM sent_at), 0)::float8 FROM herald.messages WHERE id = %s"


def measure(run: Run) -> list[Result]:
    """Percent of a core, of the relay's whole process and of its session in PostgreSQL."""
    at_rest, beside = "while nobody writes", f"beside {WRITES:,} write transactions a second"
    cases = (at_rest, beside)
    looks = {case: Figure(f"the session that looks, {case}, % of a core", Target(most=2)) for case in cases}
    whole = {case: Figure(f"the relay's process, {case}, % of a core") for case in cases}
    lone = Figure("a lone send, COMMIT → sent, most, ms", Target(most=150))
    with run.copy() as database:
        run.stage.fetch(database, TABLE)
        run.stage.make_topics(*TOPICS)
        made = run.stage.settings(database)
        with run.stage.herald("relay", made) as relay, run.stage.herald("pipeline", made):
            _send(run.stage, database)  # everybody is there
            for _ in range(run.rounds):
                seconds = run.pick(3, 10, 60)
                _add(looks[at_rest], whole[at_rest], _used(run.stage, database, relay, seconds))
                with ThreadPoolExecutor(1) as pool:
                    options = ("--client=4", f"--rate={WRITES}", f"--time={seconds + 4:.0f}")
                    writes = pool.submit(pgbench, run.stage, database, WRITE, *options, commit="off")
                    Event().wait(2)
                    _add(looks[beside], whole[beside], _used(run.stage, database, relay, seconds))
                    writes.result()
                lone.add(max(_lone(run.stage, database) for _ in range(int(run.pick(1, 5)))))
    return [*looks.values(), *whole.values(), lone]


def _add(session: Figure, process: Figure, used: tuple[float, float]) -> None:
    session.add(used[0])
    process.add(used[1])


def _used(stage: Stage, database: str, relay: HeraldProcess, seconds: float) -> tuple[float, float]:
    """Percent of a core: of the session that looks, and of the relay."""
    ((session,),) = stage.fetch(database, SESSION, {"name": f"%{NAME}"})
    pids = (session, relay.pid)
    before = [nanoseconds(pid) for pid in pids]
    Event().wait(seconds)
    first, second = (nanoseconds(pid) - earlier for pid, earlier in zip(pids, before, strict=True))
    return 100 * first / NANOSECONDS / seconds, 100 * second / NANOSECONDS / seconds


def _lone(stage: Stage, database: str) -> float:
    Event().wait(REST)
    return _send(stage, database)


def _send(stage: Stage, database: str) -> float:
    """Milliseconds from the answer to COMMIT until it is sent."""
    with closing(connect_plainly(stage.server.url(database))) as connection:
        sent = fetch_value(connection, "SELECT herald.notify('{ada}', 'lone', 'hello')::text")
        connection.commit()
        committed = time()
        connection.autocommit = True
        eventually(lambda: fetch_value(connection, SENT_AT, sent), SENT, what="it is sent")
        return (float(fetch_value(connection, SENT_AT, sent)) - committed) * 1000
