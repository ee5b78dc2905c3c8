"""`python -m benchmarks`."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import (
    api,
    desk,
    destinations,
    ends,
    floods,
    held,
    idempotency,
    latency,
    logs,
    looking,
    pipeline,
    rebuild,
    relay,
    replication,
    sends,
    status,
    watching,
    webhooks,
)
from benchmarks.costs.checkouts import present
from benchmarks.costs.command import command as costs
from benchmarks.environments import PLOTS, EnvironmentMissingError, installed
from benchmarks.figures import HEAD, Result, table
from benchmarks.growth import measuring as growth
from benchmarks.run import FEW, MILLION, Run
from benchmarks.side import HERE
from benchmarks.stage import staged
from tests.proof.faults.report import record

PAGE = HERE.root / "docs" / "benchmarks.md"
CACHE = HERE.root / ".cache" / "bench"
PICTURES = HERE.root / "docs" / "benchmarks"
RESULTS = Path(__file__).parent / "results"
Part = Callable[[Run], list[Result]]  # measures one thing, round by round

PARTS: dict[str, Part] = {
    "growth": growth.measure,  # first: it wants the log as it was loaded
    "latency": latency.measure,
    "held": held.measure,
    "relay": relay.measure,
    "replication": replication.measure,
    "pipeline": pipeline.measure,
    "webhooks": webhooks.measure,
    "api": api.measure,
    "sends": sends.measure,
    "looking": looking.measure,
    "watching": watching.measure,
    "status": status.measure,
    "ends": ends.measure,
    "idempotency": idempotency.measure,
    "destinations": destinations.measure,
    "floods": floods.measure,
    "desk": desk.measure,
    "rebuild": rebuild.measure,
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--quick", is_flag=True, help="A tenth of the work, one round: does it run, not how fast.")
@click.option("--all", "is_long", is_flag=True, help="What takes hours: rates held for a minute, ten million messages.")
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Turns of each pair.")
@click.option(
    "--rows",
    type=click.IntRange(1000, 10_000_000),
    help=f"Messages of the log; {MILLION:,}, with --all ten times as many.",
)
@click.option("--flood", type=click.IntRange(100, 1_000_000), help="Messages of a flood; 100,000, with --quick 5,000.")
@click.option("--kind", "kinds", multiple=True, help="Only the floods whose name begins so, as `key`.")
@click.option("--record", "is_recorded", is_flag=True, help="Put the results into docs/benchmarks.md.")
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False), default=CACHE, help="For what is kept.")
def main(  # noqa: PLR0913 - click's way
    *,
    parts: tuple[str, ...],
    quick: bool,
    is_long: bool,
    rounds: int,
    rows: int | None,
    flood: int | None,
    kinds: tuple[str, ...],
    is_recorded: bool,
    cache: Path,
) -> None:
    """Measure Herald beside its rivals on real servers and a log of real histories; all parts unless some are named.

    `python -m benchmarks costs` measures it beside other commits: see its own --help.
    """
    size = rows or (FEW if quick else 10 * MILLION if is_long else MILLION)
    cache = cache.resolve()
    with staged(kept=logs.cluster(cache)) as stage:
        logs.sweep(stage)
        run = Run(stage, cache, rows=size, rounds=1 if quick else rounds, is_quick=quick, is_long=is_long)
        run.flood, run.kinds = flood, kinds
        head = _head(run)
        click.echo(f"{head}\n")
        found = {name: _measured(name, run) for name in parts or PARTS}
        logs.forget(stage, run.used)
        results = _save(head, found, stage.broker)
    if is_recorded:
        _draw(results, cache)
        _record(head, found)
    if not quick and not all(result.is_met for results in found.values() for result in results):
        raise SystemExit(1)


def _measured(name: str, run: Run) -> list[Result]:
    click.echo(f"measuring {name}", err=True)
    results = PARTS[name](run)
    click.echo(f"{table([result.row() for result in results], (name, *HEAD[1:]))}\n")
    return results


def _head(run: Run) -> str:
    work = (
        "one quick round, which shows that it runs, not how fast"
        if run.is_quick
        else f"{run.rounds} rounds: median [range]"
    )
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, commit {present() or 'not known'}, {os.cpu_count()} cores, Python"
        f" {platform.python_version()}, PostgreSQL 18 (fsync on), {run.stage.broker}; a log of {run.rows:,} messages;"
        f" {work}"
    )


def _save(head: str, found: dict[str, list[Result]], broker: str) -> Path:
    RESULTS.mkdir(exist_ok=True)
    at = datetime.now(UTC)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "broker": broker}
    parts = {name: [result.as_json() for result in results] for name, results in found.items()}
    content = {"at": at.isoformat(), "head": head, **machine, "parts": parts}
    path = RESULTS / f"{at:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(f"written to {path}")
    return path


def _record(head: str, found: dict[str, list[Result]]) -> None:
    """Put the parts into the page, each in the place of its earlier table; the others stay."""
    for name, results in found.items():
        text = f"{head}\n\n{table([result.row() for result in results])}"
        picture = PICTURES / f"{name}.png"
        shown = f"\n\n![{name}]({picture.relative_to(PAGE.parent)})" if picture.exists() else ""
        record(f"bench-{name}", f"{text}{shown}", page=PAGE)


def _draw(results: Path, cache: Path) -> None:
    """The page's pictures; without what draws them, the earlier ones stay."""
    try:
        python = installed(PLOTS, cache)
    except EnvironmentMissingError as error:
        click.echo(f"no plots: {error}", err=True)
        return
    PICTURES.mkdir(exist_ok=True)
    subprocess.run([python, Path(__file__).with_name("plots.py"), results, PICTURES], check=True)


if __name__ == "__main__":
    if sys.argv[1:2] == ["costs"]:
        costs(sys.argv[2:], prog_name="python -m benchmarks costs")
    main()
