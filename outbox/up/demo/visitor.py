"""What a person would do after the start: wait until it is ready, read where things are, try it."""

from pathlib import Path
from shlex import quote
from threading import Event

import httpx2

from herald.outbox.up.demo.run import Demo
from herald.outbox.up.supervisor.terminal import Terminal

LOOK = 0.1  # seconds between two questions whether it is ready
ANSWER_TIMEOUT = 10.0  # seconds for one answer


def visit(url: str, data: Path, demo: int, terminal: Terminal, stop: Event) -> None:
    """Announce readiness, then run the demo; meant for a thread of its own."""
    with httpx2.Client(base_url=url, timeout=ANSWER_TIMEOUT, trust_env=False) as client:
        if not _wait_until_ready(client, stop):
            return
        announce(url, data, terminal)
        if demo:
            Demo(client, demo, terminal, stop).run()


def announce(url: str, data: Path, terminal: Terminal) -> None:
    """Say where everything is."""
    for label, text in (
        ("ready", url),
        ("docs", f"{url}/docs"),
        ("data", str(data)),
        ("another terminal", f"source {quote(str(data / 'env'))}; herald status; alembic current; psql"),
        ("stop", "Ctrl-C"),
    ):
        terminal.say(f"{label:<17}{text}", "bold" if label == "ready" else "")


def _wait_until_ready(client: httpx2.Client, stop: Event) -> bool:
    while not stop.is_set():
        try:
            if client.get("/health/ready").status_code == httpx2.codes.OK:
                return True
        except httpx2.HTTPError:
            pass
        stop.wait(LOOK)
    return False
