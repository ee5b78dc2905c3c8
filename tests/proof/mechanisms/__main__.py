"""`python -m tests.proof.mechanisms`: takes each mechanism out, one at a time, and shows its tests failing.

It works in copies of the tree, each with an environment of its own, because tests start processes from the code
that is installed beside them. `--only TEXT` takes those whose mechanism, test or file has the text.
"""

import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from random import sample
from time import monotonic
from xml.etree import ElementTree as ET

import rich_click as click
from rich.console import Console
from rich.table import Table

from tests.proof.mechanisms.removal import ROOT, Removal
from tests.proof.mechanisms.removals import REMOVALS

TIMEOUT = 600.0  # seconds for one test
REPORT = "removed.xml"
LOG = "removed.log"  # what pytest said, all of it


@click.command()
@click.option("--only", default="", help="Only those whose mechanism, test or file has this text.")
@click.option("--part", default="1/1", metavar="N/M", help="Every Mth of them, beginning with the Nth.")
@click.option("--lot", type=click.IntRange(1), default=None, help="So many of them, by lot.")
@click.option("--workers", default=3, show_default=True, help="Copies at once, each with one of them taken out.")
@click.option("--copies", type=click.Path(path_type=Path), default=ROOT / ".cache" / "mechanisms", show_default=True)
def main(only: str, part: str, lot: int | None, workers: int, copies: Path) -> None:
    """Take each mechanism out and run its tests; exit code 1 when one of them does not fail."""
    number, parts = map(int, part.split("/"))
    chosen = [removal for removal in REMOVALS if only in repr(removal)][number - 1 :: parts]
    if lot:
        chosen = sample(chosen, min(lot, len(chosen)))
    free: SimpleQueue[Path] = SimpleQueue()
    for number in range(min(workers, len(chosen))):
        free.put(make_copy(copies.resolve() / str(number)))
    console, held = Console(soft_wrap=True), 0

    def judge_one(removal: Removal) -> dict[str, str]:
        tree, began = free.get(), monotonic()
        try:
            verdicts = judge(tree, removal)
        finally:
            free.put(tree)
        console.print(f"{removal.mechanism}: {', '.join(verdicts.values())} ({monotonic() - began:.0f} s)")
        return verdicts

    table = Table("mechanism", "test", "without it")
    with ThreadPoolExecutor(workers) as pool:
        for removal, verdicts in zip(chosen, pool.map(judge_one, chosen), strict=True):
            for test, verdict in verdicts.items():
                held += verdict == "fails"
                table.add_row(removal.mechanism, test, verdict)
    console.print(table)
    total = sum(len(removal.tests) for removal in chosen)
    console.print(f"{len(chosen)} mechanisms taken out, {held} of {total} tests fail without theirs")
    sys.exit(0 if held == total else 1)


def make_copy(tree: Path) -> Path:
    """The files that git knows, as they are now, installed with what uv has in its cache."""
    tree.mkdir(parents=True, exist_ok=True)
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for name in filter(None, listed.split("\0")):
        target = tree / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.unlink(missing_ok=True)
        shutil.copy2(ROOT / name, target, follow_symlinks=False)
    cache = tree / ".cache"
    if not cache.exists():
        cache.symlink_to(ROOT / ".cache")
    subprocess.run(["make", "install"], cwd=tree, check=True, stdout=subprocess.DEVNULL)
    return tree


def judge(tree: Path, removal: Removal) -> dict[str, str]:
    """What becomes of each of its tests without the mechanism."""
    with taken_out(tree, removal):
        print_in(tree, f"\n=== without: {removal.mechanism}")
        return {test.partition("::")[2]: judge_test(tree, test) for test in sorted(removal.tests)}


def judge_test(tree: Path, test: str) -> str:
    """Its verdict; one case that fails is enough, and the others, which may each wait for a minute, are not run."""
    report = tree / REPORT
    report.unlink(missing_ok=True)
    command = [str(tree / ".venv/bin/python"), "-m", "pytest", "-q", "-x", "-m", "", f"--junitxml={report}", test]
    with (tree / LOG).open("a", encoding="utf-8") as log:
        try:
            subprocess.run(command, cwd=tree, stdout=log, stderr=log, timeout=TIMEOUT, check=False)
        except subprocess.TimeoutExpired:
            return "does not end"
    return verdict_of(test.partition("::")[2], report)


def print_in(tree: Path, text: str) -> None:
    """Say it in the log of this copy."""
    with (tree / LOG).open("a", encoding="utf-8") as log:
        print(text, file=log)


@contextmanager
def taken_out(tree: Path, removal: Removal) -> Iterator[None]:
    """The tree without it, for as long as the `with` lasts."""
    originals = {edit.path: (tree / edit.path).read_bytes() for edit in removal.edits}
    try:
        for edit in removal.edits:
            edit.apply(tree)
            forget_compiled(tree / edit.path)
        yield
    finally:
        for path, code in originals.items():
            (tree / path).write_bytes(code)
            forget_compiled(tree / path)


def forget_compiled(file: Path) -> None:
    """Python compares times by the second: a change within one could run the old code."""
    for compiled in (file.parent / "__pycache__").glob(f"{file.stem}.*.pyc"):
        compiled.unlink()


def verdict_of(test: str, report: Path) -> str:
    """`fails` when one of its cases failed; an error of its fixtures does not count."""
    if not report.exists():
        return "was not run"
    cases = [one for one in ET.parse(report).iter("testcase") if one.get("name", "").partition("[")[0] == test]  # noqa: S314
    if any(case.find("failure") is not None for case in cases):
        return "fails"
    if not cases or any(case.find("error") is not None for case in cases):
        return "was not run"
    return "passes"


if __name__ == "__main__":
    main()
