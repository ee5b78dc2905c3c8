"""`--demo N`: post N notifications over HTTP and watch until the last is sent."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event
from time import monotonic
from typing import Any, Protocol
from uuid import uuid4

import httpx2
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from herald.outbox.up.demo.latency import result_line, seconds_to_deliver
from herald.outbox.up.supervisor.terminal import OWN_NAME, WIDTH, Terminal

PATIENCE = 60.0  # seconds until we say that not all were delivered
RATE = 100  # notifications per second, more only where N would take longer than LONGEST
LONGEST = 10.0  # seconds of posting
POSTING_THREADS = 4
LOOK = 0.2  # seconds between two looks at what is sent
PAGE = 100  # notifications per page
PLAIN_INTERVAL = 5.0  # seconds between two lines where there is no terminal
FIRST_PAUSE = 0.2  # seconds before a refused POST is tried again


class DemoError(Exception):
    """The API refused what the demo posted; the text is its answer."""


class Shown(Protocol):
    """Shows how many are sent."""

    def __call__(self, sent: int) -> None:
        """Show that so many are sent by now."""


class Demo:
    """One demonstration; it ends early when `stop` is set."""

    def __init__(self, client: httpx2.Client, total: int, terminal: Terminal, stop: Event) -> None:
        self._client = client
        self._total = total
        self._terminal = terminal
        self._stop = stop
        self._event = f"demo.{uuid4().hex[:8]}"  # the filter that finds ours among all
        self._accepted: set[str] = set()  # ids that were answered 202
        self._sent: dict[str, float] = {}  # seconds to deliver, by id
        self._deadline = 0.0

    def run(self) -> None:
        """Post and watch; says in one line what became of it."""
        self._deadline = monotonic() + PATIENCE
        try:
            with self._progress() as show:
                self._go(show)
        except DemoError as error:
            self._terminal.complain(f"the demo ended early: {error}")
        if not self._stop.is_set():
            self._report()

    def _go(self, show: Shown) -> None:
        """Send the first alone: when it is delivered, every process is up, and the others measure the usual time."""
        began = monotonic()
        self._post(0)
        self._watch(1, show)
        if self._total > 1 and self._sent:
            self._terminal.say(f"the first was delivered after {monotonic() - began:.1f} s: every process is up")
        with ThreadPoolExecutor(POSTING_THREADS) as pool:
            began = monotonic()
            posts = [pool.submit(self._post_at, number, began) for number in range(1, self._total)]
            self._watch(self._total, show)
            for post in posts:
                post.cancel()
        for post in posts:
            if not post.cancelled():
                post.result()

    def _post_at(self, number: int, began: float) -> None:
        rate = max(RATE, self._total / LONGEST)
        if not self._stop.wait(max(began + number / rate - monotonic(), 0.0)):
            self._post(number)

    def _post(self, number: int) -> None:
        """Post until it is accepted: the API may be busy, or restarting."""
        content = f"Hello, this is number {number + 1}"
        body = {"user_id": f"user-{number % 10}", "event": self._event, "content": content}
        pause = FIRST_PAUSE
        while not self._over() and not self._is_accepted(body):
            self._stop.wait(pause)
            pause *= 2

    def _is_accepted(self, body: dict[str, str]) -> bool:
        try:
            answer = self._client.post("/notifications", json=body)
        except httpx2.TransportError:  # if it was stored all the same, it is one more, and not one we count
            return False
        if answer.status_code == httpx2.codes.ACCEPTED:
            self._accepted.add(answer.json()["id"])
            return True
        if answer.is_server_error:
            return False
        message = f"POST /notifications answered {answer.status_code}: {answer.text}"
        raise DemoError(message)

    def _watch(self, wanted: int, show: Shown) -> None:
        while not self._over() and len(self._sent) < wanted:
            with suppress(httpx2.HTTPError):  # the next look may be luckier
                found = {item["id"]: seconds_to_deliver(item) for item in self._all_sent()}
                self._sent = {key: seconds for key, seconds in found.items() if key in self._accepted}
            show(len(self._sent))
            self._stop.wait(LOOK if len(self._sent) < wanted else 0)

    def _over(self) -> bool:
        return self._stop.is_set() or monotonic() >= self._deadline

    def _all_sent(self) -> Iterator[dict[str, Any]]:
        query: dict[str, str | int] = {"event": self._event, "status": "sent", "limit": PAGE}
        while True:
            page = self._client.get("/notifications", params=query).raise_for_status().json()
            yield from page["items"]
            if not page.get("cursor"):
                return
            query["cursor"] = page["cursor"]

    def _report(self) -> None:
        line = result_line(list(self._sent.values()), self._total)
        if len(self._sent) >= self._total:
            self._terminal.say(line, "bold green")
            return
        accepted = f"{len(self._accepted)} were accepted, and none of these is lost"
        self._terminal.complain(f"{line} within {PATIENCE:.0f} s; {accepted}: see `herald status`")

    @contextmanager
    def _progress(self) -> Generator[Shown]:
        if not self._terminal.console.is_terminal:
            yield self._plain_lines()
            return
        label = TextColumn(f"[bold]{OWN_NAME:<{WIDTH}}[/] │ sent")
        columns = (label, BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._terminal.console, transient=True) as progress:
            task = progress.add_task("sent", total=self._total)
            yield lambda sent: progress.update(task, completed=sent)

    def _plain_lines(self) -> Shown:
        last = monotonic()

        def show(sent: int) -> None:
            nonlocal last
            if monotonic() - last >= PLAIN_INTERVAL:
                last = monotonic()
                self._terminal.say(f"{sent} of {self._total} sent")

        return show
