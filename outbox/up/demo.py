"""What a person would do after the start: wait until it is ready, read where things are, and try it: `--demo N`."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from pathlib import Path
from shlex import quote
from threading import Event
from time import monotonic

import httpx2
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn

from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.driver import PostgresError
from herald.outbox.postgres.statements import fetch_one
from herald.outbox.settings import Settings
from herald.outbox.up.terminal import OWN_NAME, WIDTH, Terminal

ANSWER_TIMEOUT = 10.0  # seconds for one answer
PATIENCE = 60.0  # seconds until we say that not all were delivered
RATE = 100  # notifications per second, more only where N would take longer than LONGEST
LONGEST = 10.0  # seconds of posting
POSTING_THREADS = 4
LOOK = 0.2  # seconds between two looks at what is sent, or whether it is ready
PLAIN_INTERVAL = 5.0  # seconds between two lines where there is no terminal
FIRST_PAUSE = 0.2  # seconds before a refused POST is tried again
TENTHS_BELOW = 100  # milliseconds from which tenths say nothing
_SENT = """
SELECT count(*),
       percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM sent_at - created_at)::float)
FROM notifications WHERE id = ANY (%s::uuid[]) AND sent_status
"""


def visit(url: str, data: Path, settings: Settings, demo: int, terminal: Terminal, stop: Event) -> None:
    """Announce readiness, then run the demo; meant for a thread of its own."""
    with httpx2.Client(base_url=url, timeout=ANSWER_TIMEOUT, trust_env=False) as client:
        while not (_is_ready(client) or stop.wait(LOOK)):
            pass
        if not stop.is_set():
            announce(url, data, terminal, is_open=settings.open == "yes")
        if demo and not stop.is_set():
            Demo(client, settings, demo, terminal, stop).run()


def announce(url: str, data: Path, terminal: Terminal, *, is_open: bool) -> None:
    """Say where everything is, and who may use it."""
    for label, text in (
        ("ready", url),
        ("docs", f"{url}/docs"),
        ("keys", "none is needed here: HERALD_OPEN=yes" if is_open else "herald keys create --help"),
        ("data", str(data)),
        ("another terminal", f"source {quote(str(data / 'env'))}; herald status; alembic current; psql"),
        ("stop", "Ctrl-C"),
    ):
        terminal.say(f"{label:<17}{text}", "bold" if label == "ready" else "")


def _is_ready(client: httpx2.Client) -> bool:
    with suppress(httpx2.HTTPError):
        return client.get("/health/ready").is_success
    return False


class Demo:
    """One demonstration of `total` notifications; it ends early when `stop` is set."""

    def __init__(self, client: httpx2.Client, settings: Settings, total: int, terminal: Terminal, stop: Event) -> None:
        self._client = client
        self._settings = settings
        self._total = total
        self._terminal = terminal
        self._stop = stop
        self._accepted: list[str] = []  # ids that were answered 202
        self._refusal = ""  # what the API answered instead, and would answer again
        self._sent, self._seconds = 0, [0.0, 0.0]  # how many of these are sent, and how fast: p50, p99
        self._told_at = monotonic()
        self._deadline = monotonic() + PATIENCE

    def run(self) -> None:
        """Post and watch; says in one line what became of it.

        The first is sent alone: when it is delivered, every process is up, and the others measure the usual time.
        """
        console, began = self._terminal.console, monotonic()
        columns = (f"[bold]{OWN_NAME:<{WIDTH}}[/] │ sent", BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal or self._terminal.as_json
        ) as progress:
            progress.add_task("sent", total=self._total)
            self._send(range(1), progress)
            if self._total > 1 and self._sent:
                self._terminal.say(f"the first was delivered after {monotonic() - began:.1f} s: every process is up")
            self._send(range(1, self._total), progress)
        if self._refusal:
            self._terminal.complain(f"the demo ended early: {self._refusal}")
        line = result_line(self._sent, self._total, *self._seconds)
        if self._sent >= self._total:
            self._terminal.say(line, "bold green")
        elif not self._stop.is_set():
            accepted = f"{len(self._accepted)} were accepted, and none of these is lost"
            self._terminal.complain(f"{line} within {PATIENCE:.0f} s; {accepted}: see `herald status`")

    def _send(self, numbers: range, progress: Progress) -> None:
        began, rate = monotonic(), max(RATE, self._total / LONGEST)
        with ThreadPoolExecutor(POSTING_THREADS) as pool:
            for number in numbers:
                pool.submit(self._post, number, began + number / rate)
            while self._sent < numbers.stop and self._goes_on(LOOK):
                self._look(progress)
            pool.shutdown(cancel_futures=True)

    def _goes_on(self, wait: float) -> bool:
        return not self._stop.wait(max(wait, 0.0)) and not self._refusal and monotonic() < self._deadline

    def _post(self, number: int, due: float) -> None:
        """Post until it is accepted: the API may be busy, or restarting."""
        content = f"Hello, this is number {number + 1}"
        body = {"user_id": f"user-{number % 10}", "event": "demo", "content": content}
        wait, pause = due - monotonic(), FIRST_PAUSE
        while self._goes_on(wait):
            with suppress(httpx2.TransportError):  # if it was stored all the same, it is not one we count
                answer = self._client.post("/notifications", json=body)
                if answer.is_success:
                    self._accepted.append(answer.json()["id"])
                    return
                if answer.is_client_error:
                    self._refusal = f"POST /notifications answered {answer.status_code}: {answer.text}"
            wait, pause = pause, pause * 2

    def _look(self, progress: Progress) -> None:
        with suppress(PostgresError), closing(connect(self._settings, "herald-up")) as connection:
            self._sent, seconds = fetch_one(connection, _SENT, self._accepted)
            self._seconds = seconds or self._seconds
        progress.update(progress.task_ids[0], completed=self._sent)
        if progress.disable and monotonic() - self._told_at >= PLAIN_INTERVAL:
            self._told_at = monotonic()
            self._terminal.say(f"{self._sent} of {self._total} sent")


def result_line(sent: int, total: int, *seconds: float) -> str:
    """How many of `total` were delivered, and how fast: p50 and p99 in seconds."""
    if not sent:
        return f"0 of {total} delivered"
    p50, p99 = (f"{one * 1000:,.{1 if one * 1000 < TENTHS_BELOW else 0}f} ms" for one in seconds)
    return f"{sent} of {total} delivered, p50 {p50}, p99 {p99} from POST to delivered"
