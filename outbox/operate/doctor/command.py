"""`herald doctor`: all findings for a person or for a program."""

import json
from collections import Counter
from collections.abc import Iterable
from itertools import groupby
from typing import Any, get_args

import rich_click as click
from rich.console import Console
from rich.table import Table
from rich.text import Text

from herald.outbox.operate.doctor.examination import examine
from herald.outbox.operate.doctor.finding import TROUBLE, Level, Result, count
from herald.outbox.settings import SettingsError, load_settings

STYLES: dict[Level, str] = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "bold red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 86_400),
    default=60.0,
    show_default=True,
    help="Seconds that a transaction may be open before it is a finding.",
)
def command(*, as_json: bool, patience: float) -> None:
    """Look for what is wrong, or soon will be, and say what to do.

    Reads the settings as every process does, asks the database and Kafka, and changes nothing. The exit code is
    0 when there are only notes, 1 for warnings and problems, 2 for wrong settings.
    """
    try:
        settings = load_settings()
    except SettingsError as error:
        click.echo(str(error), err=True)
        raise SystemExit(2) from None
    found = examine(settings, patience)
    results = _print_form(found) if as_json else _print_tables(found)
    raise SystemExit(1 if any(result.finding.level in TROUBLE for result in results) else 0)


def _print_form(found: Iterable[Result]) -> list[Result]:
    results = list(found)
    click.echo(json.dumps(machine_form(results)))
    return results


def _print_tables(found: Iterable[Result]) -> list[Result]:
    """One table per subject, as soon as it is known."""
    console, results = Console(highlight=False), list[Result]()
    for family, group in groupby(found, lambda result: result.family):
        members = list(group)
        console.print(Text(family, style="bold"))
        console.print(table(members))
        results += members
    console.print(Text(summary(results)))
    return results


def machine_form(results: list[Result]) -> dict[str, Any]:
    """Return all of it for a program; `advice` is null where nothing has to be done."""
    return {
        "counts": counts(results),
        "findings": [
            {
                "family": result.family,
                "check": result.check,
                "level": result.finding.level,
                "text": result.finding.text,
                "advice": result.finding.advice,
            }
            for result in results
        ],
    }


def table(results: Iterable[Result]) -> Table:
    """Return a line per finding, and one below it that says what to do."""
    rows = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    rows.add_column(no_wrap=True, min_width=9)
    rows.add_column(no_wrap=True, min_width=21)
    rows.add_column(overflow="fold")
    for result in results:
        finding = result.finding
        rows.add_row(Text(f"  {finding.level}", style=STYLES[finding.level]), Text(result.check), Text(finding.text))
        if finding.advice:
            rows.add_row("", "", Text(f"→ {finding.advice}", style="bold" if finding.level in TROUBLE else ""))
    return rows


def counts(results: Iterable[Result]) -> dict[str, int]:
    """Return how many findings of each level there are, the worst first."""
    by_level = Counter(result.finding.level for result in results)
    return {level: by_level[level] for level in reversed(get_args(Level))}


def summary(results: Iterable[Result]) -> str:
    """Return the same in a line."""
    found = counts(results)
    return ", ".join([*(count(found[level], level) for level in ("problem", "warning", "note")), f"{found['ok']} ok"])
