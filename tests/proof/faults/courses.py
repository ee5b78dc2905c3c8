"""The table of faults: every test of `tests/proof/faults/test_*_faults.py` writes down the course of its faults."""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.conftest import ROOT
from tests.proof.faults.course import COURSES, Course
from tests.proof.faults.report import machine, paragraphs

HERE = Path(__file__).parent
HEAD = (
    "| fault | lasted | accepted | unknown | lost | p99 before | longest delay | normal again after | test |\n"
    "|---|---|---|---|---|---|---|---|---|"
)


def run_all(arguments: list[str]) -> tuple[list[Course], int]:
    """Run the tests, or those that the arguments choose; returns the courses and pytest's exit code."""
    with tempfile.TemporaryDirectory() as folder:
        courses = Path(folder) / "courses"
        courses.touch()
        tests = [str(path.relative_to(ROOT)) for path in sorted(HERE.glob("test_*_faults.py"))]
        command = [sys.executable, "-m", "pytest", "-m", "", "-q", *tests, *arguments]
        env = {**os.environ, COURSES: str(courses)}
        done = subprocess.run(command, cwd=ROOT, env=env, check=False)
        return read(courses), done.returncode


def read(courses: Path) -> list[Course]:
    return [Course(**json.loads(line)) for line in courses.read_text(encoding="utf-8").splitlines()]


def describe(courses: list[Course], earlier: str = "") -> str:
    """For the page. What was lost is 0 in every row: the oracle lets no other course be written down.

    Rows of an `earlier` report stay as they are where their fault was not run again.
    """
    rows = {line.split(" | ")[0]: line for line in earlier.splitlines() if line.startswith("| ") and line not in HEAD}
    rows |= {row.split(" | ")[0]: row for row in map(_row, courses)}
    when = machine().partition(", PostgreSQL")[0]
    head = f"{when}, PostgreSQL 18 (fsync off), Apache Kafka 4.4.0; a statement may take 3 s."
    return paragraphs([head, "\n".join([HEAD, *rows.values()])])


def _row(course: Course) -> str:
    file, _, test = course.test.partition("::")
    link = f"[{test.partition('[')[0].removeprefix('test_').replace('_', ' ')}](../{file})"
    cells = (
        course.fault,
        f"{course.lasted:.1f} s",
        f"{course.accepted:,}",
        f"{course.unknown:,}",
        "0",
        f"{1000 * course.usual:.0f} ms",
        f"{course.worst:.1f} s",
        f"{course.back_after:.1f} s",
        link,
    )
    return f"| {' | '.join(cells)} |"
