"""`python -m tests.proof`: everything that takes too long for `make test`, in fourteen parts of half an hour or so.

`--part 3/14` runs the third of them, so that they can be spread over days or machines. Each command also runs alone;
docs/proof.md says what it shows. One that fails does not keep the others from running.
"""

import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

import rich_click as click
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent.parent
MINUTE = 60.0  # seconds
FAULTS = "tests/proof/faults"


@dataclass(frozen=True)
class Step:
    """A command of the repository, and what it needs in its environment."""

    arguments: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return " ".join([*(f"{name}={value}" for name, value in self.environment.items()), *self.arguments])

    def run(self) -> int:
        """Its exit code."""
        command = [sys.executable, "-m", *self.arguments]
        return subprocess.run(command, cwd=ROOT, env={**os.environ, **self.environment}, check=False).returncode


def fault(*arguments: str, **environment: str) -> Step:
    """One of the reports of docs/proof.md."""
    return Step(("tests.proof.faults", *arguments), environment)


def callers(*arguments: str) -> Step:
    """One of the reports on callers' own transactions."""
    return Step(("tests.proof.callers", *arguments))


def mechanisms(part: str) -> Step:
    """A share of the mechanisms, taken out one at a time."""
    return Step(("tests.proof.mechanisms", "--part", part))


def tests(*arguments: str) -> Step:
    """The tests there that `make test` leaves out."""
    return Step(("pytest", "-m", "proof", "-n", "3", "--dist", "loadfile", *arguments))


PARTS: tuple[tuple[Step, ...], ...] = (
    (fault("kills", "--kills", "1000"), fault("points")),
    (fault("takeover"), fault("schema", "--seconds", "600"), fault("records", "--records", "50000")),
    (fault("outage", "--seconds", "600"), fault("rows", "--rows", "2000"), Step(("tests.proof.probes",))),
    (fault("transaction", "--seconds", "3600"),),
    (callers("transaction", "--seconds", "3600"),),
    (
        callers("ways", "--kills", "200"),
        callers("locks", "--seconds", "300"),
        callers("away"),
        callers("inputs", "--inputs", "50000"),
    ),
    (fault("convictions", "--seconds", "60"),),
    (
        fault("requests", "--requests", "100000"),
        fault("fenced"),
        fault("two-heralds"),
        tests("tests", "--ignore", FAULTS),
    ),
    (fault("leaderless", "--rate", "10"), fault("leaderless", "--rate", "1000")),
    (
        fault("large"),
        fault("poolers", "--posts", "1000"),
        Step(("pytest", "-rP", "-m", "proof", "tests/proof/end_to_end/test_killed_calls.py"), {"CALL_KILLS": "100"}),
    ),
    (
        fault("table", FROZEN="90", GONE="180", REBALANCES="50"),
        tests(FAULTS),
        Step(
            ("pytest", "-rP", "tests/proof/model/test_model.py", "-k", "whatever"),
            {"SEED_BASE": "random", "SEEDS": "100000"},
        ),
    ),
    (mechanisms("1/3"),),
    (mechanisms("2/3"),),
    (mechanisms("3/3"),),
)


@click.command()
@click.option("--part", default=None, metavar="N/14", help="Only this one of the fourteen.")
@click.option("--list", "is_listed", is_flag=True, help="Say what each has, and run nothing.")
def main(part: str | None, *, is_listed: bool) -> None:
    """Search for hours for what breaks Herald; exit code 1 when something does."""
    console = Console(soft_wrap=True)
    table = Table("part", "command", "result")
    is_whole = True
    for number in chosen(part):
        for step in PARTS[number - 1]:
            result = "" if is_listed else timed(step)
            is_whole = is_whole and not result.startswith("fails")
            table.add_row(f"{number}/{len(PARTS)}", str(step), result)
    console.print(table)
    sys.exit(0 if is_whole else 1)


def chosen(part: str | None) -> list[int]:
    """The numbers of the parts, from 1. Raises UsageError for what is none."""
    every = range(1, len(PARTS) + 1)
    if part is None:
        return list(every)
    number, _, whole = part.partition("/")
    if whole != str(len(PARTS)) or number not in map(str, every):
        message = f"--part is 1/{len(PARTS)} to {len(PARTS)}/{len(PARTS)}, not {part}"
        raise click.UsageError(message)
    return [int(number)]


def timed(step: Step) -> str:
    """Run it; its result, and how long it took."""
    began = monotonic()
    code = step.run()
    return f"{'fails' if code else 'passes'} after {(monotonic() - began) / MINUTE:.0f} min"


if __name__ == "__main__":
    main()
