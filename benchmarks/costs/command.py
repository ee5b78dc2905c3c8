"""`python -m benchmarks costs`."""

import fcntl
import json
import os
import platform
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from benchmarks import logs
from benchmarks.costs.bench import SHORT, Bench, Sizes
from benchmarks.costs.checkouts import checked_out, present
from benchmarks.costs.parts import NEED_BROKER, PARTS
from benchmarks.costs.table import Table
from benchmarks.side import HERE, Side
from benchmarks.stage import Stage, staged
from tests.proof.faults.report import record

PAGE = HERE.root / "docs" / "benchmarks.md"
CACHE = HERE.root / ".cache" / "costs"


@click.command("costs")
@click.option("--beside", multiple=True, metavar="COMMIT", help="Compare with this commit; can be said several times.")
@click.option("--only", "names", multiple=True, type=click.Choice(list(PARTS)), help="These parts; can be repeated.")
@click.option("--rounds", type=click.IntRange(1, 20), default=None, help="Turns of each side; 3, or 1 if it is short.")
@click.option("--rows", type=click.IntRange(100), default=None, help="Messages of the large log; a million.")
@click.option("--short", is_flag=True, help="Small numbers: does it run, not what does it cost.")
@click.option("--record", "is_recorded", is_flag=True, help="Put the table into docs/benchmarks.md.")
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False), default=CACHE, help="For what is kept.")
def command(  # noqa: PLR0913 - click's way
    *,
    beside: tuple[str, ...],
    names: tuple[str, ...],
    rounds: int | None,
    rows: int | None,
    short: bool,
    is_recorded: bool,
    cache: Path,
) -> None:
    """Measure what a message costs in this checkout, beside other commits: on the same servers, in turns."""
    if is_recorded and (short or names):
        raise click.UsageError("--record needs the whole table: it goes with neither --short nor --only")
    sizes = SHORT if short else Sizes()
    sizes = replace(sizes, rows=rows or sizes.rows)
    parts = [name for name in PARTS if name in (names or PARTS)]
    cache = cache.resolve()
    with _alone(cache):
        sides = [replace(HERE, name=f"this {present()}".strip()), *(checked_out(commit, cache) for commit in beside)]
        with staged(kept=logs.cluster(cache), has_broker=bool(NEED_BROKER.intersection(parts))) as stage:
            found = _measure(stage, sides, sizes, parts, rounds or (1 if short else 3))
            head = _head(stage, sizes)
        click.echo(f"{head}\n\n{found}")
        _save(cache, head, found)
    if is_recorded:
        record("costs", f"{head}\n\n{found}", page=PAGE)


def _measure(stage: Stage, sides: Sequence[Side], sizes: Sizes, parts: Sequence[str], rounds: int) -> Table:
    logs.sweep(stage)
    found = Table([side.name for side in sides])
    with ExitStack() as stack:
        benches = [stack.enter_context(closing(Bench(replace(stage, side=side), sizes))) for side in sides]
        for part in parts:
            _take_turns(part, benches, rounds, found)
        logs.forget(stage, [log for bench in benches for log in bench.used])
    return found


def _take_turns(part: str, benches: Sequence[Bench], rounds: int, found: Table) -> None:
    with ExitStack() as stack:
        measures = [(bench.stage.side.name, stack.enter_context(PARTS[part](bench))) for bench in benches]
        for number in range(rounds):
            for name, measure in measures:
                click.echo(f"{part}, round {number + 1} of {rounds}: {name}", err=True)
                for reading in measure():
                    found.add(name, reading)


def _head(stage: Stage, sizes: Sizes) -> str:
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} shared cores, Python {platform.python_version()},"
        f" PostgreSQL 18 (fsync on), {stage.broker}; a log of {sizes.rows:,} messages"
    )


def _save(cache: Path, head: str, found: Table) -> None:
    at = datetime.now(UTC)
    content = {"at": at.isoformat(), "head": head, "lines": [line.as_json() for line in found.lines.values()]}
    path = cache / "results" / f"{at:%Y%m%dT%H%M%SZ}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(f"written to {path}")


@contextmanager
def _alone(cache: Path) -> Iterator[None]:
    """One run at a time uses what is kept, and the machine."""
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            message = f"another run uses {cache}"
            raise click.ClickException(message) from None
        yield
