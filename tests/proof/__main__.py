"""`python -m tests.proof`: everything that takes too long for `make test`.

In an hour or so each search has a short turn, with other seeds and other lots each time. `--all` has them as long as
docs/proof.md has them recorded, in sixteen parts of half an hour or so: `--part 3/16` runs the third of them, so that
they can be spread over days or machines. Each command also runs alone; one that fails does not keep the others from
running.
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


def alerts(*arguments: str) -> Step:
    """One of the reports on what an operator is woken by."""
    return Step(("tests.proof.alerts", *arguments))


def mechanisms(*arguments: str) -> Step:
    """A share of the mechanisms, taken out one at a time."""
    return Step(("tests.proof.mechanisms", *arguments))


def model(seeds: str) -> Step:
    """The model under so many seeds that nobody chose."""
    arguments = "pytest", "-rP", "tests/proof/model/test_model.py", "-k", "whatever"
    return Step(arguments, {"SEED_BASE": "random", "SEEDS": seeds})


def tests(*arguments: str) -> Step:
    """The tests there that `make test` leaves out."""
    return Step(("pytest", "-m", "proof", "-n", "3", "--dist", "loadfile", *arguments))


BRIEF: tuple[Step, ...] = (
    fault("kills", "--kills", "150"),
    fault("points"),
    fault("takeover", "--rounds", "1"),
    fault("table"),
    fault("convictions", "--seconds", "5"),
    fault("outage", "--seconds", "60"),
    fault("transaction", "--seconds", "240"),
    fault("leaderless", "--seconds", "60"),
    fault("fenced", "--seeds", "5"),
    fault("two-heralds", "--messages", "1000"),
    fault("poolers", "--posts", "100"),
    fault("schema", "--seconds", "60"),
    fault("records", "--records", "10000"),
    fault("rows", "--rows", "300"),
    fault("requests", "--requests", "10000"),
    callers("ways", "--kills", "20"),
    callers("locks", "--seconds", "60"),
    callers("away", "--days", "2", "--orders", "100"),
    callers("inputs", "--inputs", "3000"),
    Step(("tests.proof.probes", "--lot", "6")),
    model("10000"),
    mechanisms("--lot", "30"),
)
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
        model("100000"),
    ),
    (mechanisms("--part", "1/3"),),
    (mechanisms("--part", "2/3"),),
    (mechanisms("--part", "3/3"),),
    (alerts("fire"), alerts("kills"), alerts("runbooks")),
    (alerts("healthy"),),
)


@click.command()
@click.option("--all", "is_all", is_flag=True, help="As long as it is recorded: ten hours.")
@click.option("--part", default=None, metavar="N/16", help="Only this one of the sixteen of all.")
@click.option("--list", "is_listed", is_flag=True, help="Say what is run, and run nothing.")
def main(part: str | None, *, is_all: bool, is_listed: bool) -> None:
    """Search for what breaks Herald, for an hour or so; exit code 1 when something does."""
    console = Console(soft_wrap=True)
    table = Table("part", "command", "result")
    is_whole = True
    for name, step in chosen(part, is_all=is_all):
        result = "" if is_listed else timed(step)
        is_whole = is_whole and not result.startswith("fails")
        table.add_row(name, str(step), result)
    console.print(table)
    sys.exit(0 if is_whole else 1)


def chosen(part: str | None, *, is_all: bool) -> list[tuple[str, Step]]:
    """The steps, each with the name of its part. Raises UsageError for a part that is none."""
    if part is None and not is_all:
        return [(str(number), step) for number, step in enumerate(BRIEF, 1)]
    every = {f"{number}/{len(PARTS)}": steps for number, steps in enumerate(PARTS, 1)}
    if part is not None and part not in every:
        message = f"--part is one of {', '.join(every)}, not {part}"
        raise click.UsageError(message)
    return [(name, step) for name in ([part] if part else every) for step in every[name]]


def timed(step: Step) -> str:
    """Run it; its result, and how long it took."""
    began = monotonic()
    code = step.run()
    return f"{'fails' if code else 'passes'} after {(monotonic() - began) / MINUTE:.0f} min"


if __name__ == "__main__":
    main()
