"""How every command prints: tables, findings, amounts in the unit that fits, and what a long one is at."""

import os
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from time import monotonic
from typing import NamedTuple

import msgspec
from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

PADDING = (0, 2, 0, 0)  # two spaces between columns
UNFOLDED = 10_000  # columns, where nobody sees an edge
PLAIN_INTERVAL = 5.0  # seconds between two lines where there is no terminal
TWO_DAYS = 48.0  # hours
STEP = 1024  # from one unit of bytes to the next
Show = Callable[[int], None]  # shows how many are done


class Line(NamedTuple):
    """A finding as a person reads it; what has to be done about it stands below."""

    level: str
    style: str
    check: str
    text: str
    advice: str | None = None
    advice_style: str = ""


def make_console() -> Console:
    """Prints texts as they are: what a provider answered is text, though it look like markup.

    Lines are folded at the width of a terminal, and not where a program such as grep reads them.
    """
    console = Console(highlight=False, markup=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in os.environ:
        console.width = UNFOLDED
    return console


def show(*parts: RenderableType) -> None:
    """Print them on standard output."""
    console = make_console()
    for part in parts:
        console.print(part)


def listed(names: Sequence[str], rows: Iterable[Sequence[object]]) -> Table:
    """A table with these columns and no lines."""
    table = Table(box=None, padding=PADDING, header_style="bold")
    for name in names:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*map(_cell, row))
    return table


def _cell(value: object) -> str:
    if isinstance(value, datetime):
        return day_and_time(value)
    return f"{value:,}" if isinstance(value, int) else str(value or "-")


def named(rows: Iterable[tuple[str, str | Text]]) -> Table:
    """What each is, beside its name."""
    table = Table.grid(padding=PADDING)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, told in rows:
        table.add_row(name, told)
    return table


def findings(lines: Iterable[Line]) -> Table:
    """One for each, and one below it that says what to do."""
    table = Table.grid(padding=PADDING)
    table.add_column(no_wrap=True, min_width=9)
    table.add_column(no_wrap=True, min_width=21)
    table.add_column(overflow="fold")
    for line in lines:
        table.add_row(Text(line.level, style=line.style), line.check, Text(line.text))
        if line.advice:
            table.add_row("", "", Text(f"→ {line.advice}", style=line.advice_style))
    return table


def fields(struct: msgspec.Struct, *, without: Iterable[str] = ()) -> Mapping[str, str]:
    """What is set of it, as text."""
    told = msgspec.structs.asdict(struct)
    return {name: _text(value) for name, value in told.items() if value is not None and name not in without}


def in_words(told: Mapping[str, str]) -> str:
    """The same in a line."""
    return ", ".join(f"{name} {value}" for name, value in told.items())


def _text(value: object) -> str:
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)


def count(number: int, what: str) -> str:
    """A number with its unit: 1 broker, 2 brokers, 1,200 rows."""
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def duration(seconds: float) -> str:
    """Say how long in the unit that fits: 0.4 s, 12 s, 3 min, 2.5 h, 4.0 d."""
    for limit, unit, form in ((10, 1, "{:.1f} s"), (120, 1, "{:.0f} s"), (7200, 60, "{:.0f} min")):
        if seconds < limit:
            return form.format(seconds / unit)
    hours = seconds / 3600
    return f"{hours:.1f} h" if hours < TWO_DAYS else f"{hours / 24:.1f} d"


def size(number: float) -> str:
    """Say how many bytes in the unit that fits: 512 B, 8 kB, 1.5 MB, 20 GB."""
    for unit, form in (("B", "{:.0f}"), ("kB", "{:.0f}"), ("MB", "{:.1f}")):
        if number < STEP:
            return f"{form.format(number)} {unit}"
        number /= STEP
    return f"{number:,.1f} GB"


def day_and_time(when: datetime) -> str:
    """To the second."""
    return f"{when:%Y-%m-%d %H:%M:%S}"


class Steps:
    """What a long command is at: a bar on a terminal, elsewhere a line every few seconds; on standard error."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("")

    def __call__(self, step: str, *, total: int | None = None) -> Show:
        """Say what begins, and of how many where they are counted."""
        shown, told_at = self._progress, monotonic()
        shown.reset(self._task, description=step, total=total)
        if shown.disable:
            shown.console.print(step)

        def tell(done: int) -> None:
            nonlocal told_at
            shown.update(self._task, completed=done)
            if shown.disable and total is not None and monotonic() - told_at >= PLAIN_INTERVAL:
                told_at = monotonic()
                shown.console.print(f"{step}: {done:,} of about {total:,}")

        return tell


@contextmanager
def shown_steps() -> Generator[Steps]:
    """For as long as the work lasts."""
    console = Console(stderr=True, highlight=False)
    columns = (BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    is_plain = not console.is_terminal
    with Progress("{task.description}", *columns, console=console, transient=True, disable=is_plain) as progress:
        yield Steps(progress)
