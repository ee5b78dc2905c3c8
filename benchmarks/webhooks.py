"""Webhooks: many quick hosts beside bare aiohttp, a thousand slow calls open, and good hosts beside silent ones."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.destinations import LIVE, SETTLE, UNSENT, post
from benchmarks.figures import Bound, Contest, Pace, Result, Slowdown, percentile
from benchmarks.letters import fill
from benchmarks.pipeline import drain, publish
from benchmarks.receiver import address
from benchmarks.relay import TOPICS
from benchmarks.stage import Stage, until
from tests.proof.end_to_end.destinations import WEBHOOKS, letter
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.ports import free_port

HOSTS = 50
WINDOW = "250"  # messages between two commits of offsets, where quick answers are measured
SLOW_HOSTS = 200  # ten calls to each at most: a thousand are open, whichever is ready
SILENT_HOSTS, OF_EACH = 200, 20  # webhooks to each of those that never answer
RATE = 100.0  # live ones per second
AT_ONCE = 1e6  # silent ones per second: as fast as they are taken
UNTRIED = "SELECT count(*) FROM messages WHERE status = 'pending' AND attempts = 0"
MEGABYTE = 1 << 20
MOST_MEMORY = 200  # MB of the pipeline's process


def measure(stage: Stage, *, rounds: int, is_quick: bool) -> list[Result]:
    """Deliveries per second from the first attempt to the last outcome; accepted → sent of the live ones."""
    scale = 1 if is_quick else 10
    with _receivers(stage) as port:
        contest = _quick(stage, port, 1_000 * scale, rounds)
        pace, memory = _slow(stage, port, 2_000 * scale, rounds)
        return [contest, pace, memory, _beside(stage, port, 200 * scale, rounds)]


def _quick(stage: Stage, port: int, count: int, rounds: int) -> Contest:
    contest = Contest(f"webhooks: {count:,} to {HOSTS} hosts, answers of 5 ms", "deliveries/s", 0.5, "bare aiohttp")
    published = _published(stage, count, [_url(number, port, "5") for number in range(HOSTS)])
    for _ in range(rounds):
        herald = drain(stage, published, None, {**WEBHOOKS, "HERALD_WINDOW_SIZE": WINDOW})
        arguments = {"port": port, "hosts": HOSTS, "count": count}
        bare = stage.measure("benchmarks.bare_webhooks", stage.settings(published), **arguments)
        contest.add(herald, bare["rate"])
    stage.drop(published)
    return contest


def _slow(stage: Stage, port: int, count: int, rounds: int) -> tuple[Pace, Bound]:
    pace = Pace(f"webhooks: {count:,} to {SLOW_HOSTS} hosts, answers of 1 s, 1,000 open", "deliveries/s", 900)
    memory = Bound("webhooks: MB of the pipeline with 1,000 calls open", MOST_MEMORY)
    published = _published(stage, count, [_url(number, port, "1000") for number in range(SLOW_HOSTS)])
    for _ in range(rounds):
        pace.add(drain(stage, published, None, WEBHOOKS, lambda process: memory.add(_most_memory(process))))
    stage.drop(published)
    return pace, memory


def _beside(stage: Stage, port: int, count: int, rounds: int) -> Slowdown:
    name = f"webhooks: p99 of {count:,} to {HOSTS} good hosts beside {SILENT_HOSTS} silent ones"
    slowdown = Slowdown(name, "ms", 1.5)
    for _ in range(rounds):
        alone, beside = (_delays(stage, port, count, silent=silent) for silent in (0, SILENT_HOSTS))
        slowdown.add(percentile(alone, 99), percentile(beside, 99))
    return slowdown


def _delays(stage: Stage, port: int, count: int, *, silent: int) -> list[float]:
    stage.make_topics(*TOPICS)
    database = stage.database()
    settings = stage.settings(database, **WEBHOOKS)
    good = [letter(f"live-{number}", "webhook", _url(number % HOSTS, port, "5")) for number in range(count)]
    with stage.api(settings) as api, stage.herald("relay", settings), stage.herald("pipeline", settings):
        url = f"http://127.0.0.1:{api}/notifications/bulk"
        post(url, good[:HOSTS], rate=RATE)  # the group is joined, everything is warm
        eventually(lambda: stage.fetch(database, UNSENT) == [(0,)], SETTLE, what="all is sent")
        warm = len(stage.fetch(database, LIVE))
        silent_urls = [_url(HOSTS + number, port, "silent") for number in range(silent)]
        never = [letter(f"silent-{number}", "webhook", to) for number, to in enumerate(silent_urls * OF_EACH)]
        post(url, never, rate=AT_ONCE)
        eventually(lambda: stage.fetch(database, UNTRIED) == [(0,)], SETTLE, what="calls to all silent ones are open")
        post(url, good, rate=RATE)
        eventually(lambda: stage.fetch(database, UNSENT) == [(0,)], SETTLE, what="all live ones are sent")
        delays = [delay for (delay,) in stage.fetch(database, f"{LIVE} ORDER BY id")][warm:]
    stage.drop(database)
    return delays


def _published(stage: Stage, count: int, urls: list[str]) -> str:
    database = stage.database()
    fill(stage.server.url(database), count, urls=urls)
    publish(stage, database, count)
    return database


@contextmanager
def _receivers(stage: Stage) -> Iterator[int]:
    port = free_port()
    hosts = {"port": port, "hosts": HOSTS + SILENT_HOSTS}
    with stage.module("benchmarks.receiver", {"PYTHONPATH": str(stage.side.root)}, **hosts) as process:
        until(lambda: "listening" in process.output(), process, 30.0, what="the receivers listen")
        yield port


def _url(number: int, port: int, path: str) -> str:
    return f"http://{address(number)}:{port}/{path}"


def _most_memory(process: Child) -> int:
    """MB that it ever had resident."""
    status = Path(f"/proc/{process.pid}/status").read_text(encoding="ascii")
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) * 1024 // MEGABYTE
