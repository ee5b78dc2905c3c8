"""`python -m benchmarks`."""

import json
import os
import platform
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import click

from benchmarks import api, desk, destinations, idempotency, latency, pipeline, rebuild, relay, webhooks
from benchmarks.costs.command import command as costs
from benchmarks.figures import Result
from benchmarks.stage import Stage, staged

PAGE = Path(__file__).parent.parent / "docs" / "benchmarks.md"
MARKS = ("<!-- figures:", "<!-- /figures -->")
RESULTS = Path(__file__).parent / "results"


class Part(Protocol):
    """Measures one thing in `rounds` turns."""

    def __call__(self, stage: Stage, *, rounds: int, is_quick: bool) -> list[Result]: ...


PARTS: dict[str, Part] = {
    "relay": relay.measure,
    "api": api.measure,
    "idempotency": idempotency.measure,
    "pipeline": pipeline.measure,
    "latency": latency.measure,
    "destinations": destinations.measure,
    "webhooks": webhooks.measure,
    "desk": desk.measure,
    "rebuild": rebuild.measure,
}


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice(list(PARTS)))
@click.option("--quick", is_flag=True, help="A tenth of the work, one round: does it run, not how fast.")
@click.option("--rounds", type=click.IntRange(1, 20), default=3, show_default=True, help="Turns of each pair.")
@click.option(
    "--record", is_flag=True, help="Put the results into docs/benchmarks.md, over earlier ones of the same parts."
)
def main(parts: tuple[str, ...], quick: bool, rounds: int, record: bool) -> None:  # noqa: FBT001  click's way
    """Measure Herald against its rivals on real servers; all parts unless some are named.

    `python -m benchmarks costs` measures it against other commits: see its own --help.
    """
    found: list[Result] = []
    with staged() as stage:
        title = f"PostgreSQL 18 and {stage.broker}, {os.cpu_count()} cores; median [smallest … largest]\n"
        click.echo(title)
        for name in parts or PARTS:
            results = PARTS[name](stage, rounds=1 if quick else rounds, is_quick=quick)
            for result in results:
                click.echo(f"{result}\n")
            found += results
        _save(found, stage.broker)
    if record:
        _record(title, found)
    if not quick and not all(result.is_met for result in found):
        raise SystemExit(1)


def _save(results: list[Result], broker: str) -> None:
    RESULTS.mkdir(exist_ok=True)
    at = datetime.now(UTC)
    machine = {"cores": os.cpu_count(), "python": platform.python_version(), "broker": broker}
    content = {"at": at.isoformat(), **machine, "results": [result.as_json() for result in results]}
    path = RESULTS / f"{at:%Y%m%dT%H%M%SZ}.json"
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    click.echo(f"written to {path}")


def _record(title: str, results: list[Result]) -> None:
    """Put the results into the page, in the place of earlier ones of the same name; the others stay."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(MARKS[0])
    opening, _, rest = rest.partition("\n")
    recorded, _, after = rest.partition(MARKS[1])
    _, *earlier = recorded.strip().removeprefix("```text\n").removesuffix("```").strip().split("\n\n")
    shown = {_name(text): text for text in earlier} | {_name(str(result)): str(result) for result in results}
    text = "\n\n".join([f"{datetime.now(UTC):%Y-%m-%d}, {title.strip()}", *shown.values()])
    PAGE.write_text(f"{before}{MARKS[0]}{opening}\n```text\n{text}\n```\n{MARKS[1]}{after}", encoding="utf-8")


def _name(shown: str) -> str:
    return shown.partition("\n")[0]


if __name__ == "__main__":
    if sys.argv[1:2] == ["costs"]:
        costs(sys.argv[2:], prog_name="python -m benchmarks costs")
    main()
