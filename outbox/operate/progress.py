"""What a long command is at: a bar on a terminal, a line every few seconds elsewhere; on standard error."""

from collections.abc import Generator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

PLAIN_INTERVAL = 5.0  # seconds between two lines where there is no terminal


class Show(Protocol):
    """Shows how many are done."""

    def __call__(self, done: int) -> None:
        """Show that so many are done by now."""


class Steps(Protocol):
    """Tells what is begun."""

    def __call__(self, step: str, *, total: int | None = None) -> Show:
        """Say what begins, and of how many where they are counted."""


@contextmanager
def shown_steps() -> Generator[Steps]:
    """For as long as the work lasts."""
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        yield _plain(console)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("")

        def begin(step: str, *, total: int | None = None) -> Show:
            progress.reset(task, description=step, total=total)
            return lambda done: progress.update(task, completed=done)

        yield begin


def _plain(console: Console) -> Steps:
    def begin(step: str, *, total: int | None = None) -> Show:
        console.print(step)
        if total is None:
            return lambda done: None  # noqa: ARG005 - nothing is counted
        return _Lines(console, step, total)

    return begin


class _Lines:
    def __init__(self, console: Console, step: str, total: int) -> None:
        self._console, self._step, self._total = console, step, total
        self._last = monotonic()

    def __call__(self, done: int) -> None:
        if monotonic() - self._last >= PLAIN_INTERVAL:
            self._last = monotonic()
            self._console.print(f"{self._step}: {done:,} of about {self._total:,}")
