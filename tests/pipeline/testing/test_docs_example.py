"""The page about tests, followed: its consumer, its tests, and what they print when the consumer is wrong."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from herald.pipeline.testing.herald import Herald
from herald.pipeline.testing.system import CRASHABLE
from tests.docs.pages import ROOT, blocks, prose, rows, section
from tests.servers.herald import herald_environment

PAGE = ROOT / "docs" / "testing.md"
PATIENCE = 300.0  # seconds for all tests of the page
_VARIES = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z"), "<date>"),
    (re.compile(r"\d\d:\d\d:\d\d\.\d+"), "<time>"),
)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Consumer and tests, written to the files that the page names."""
    consumer, tests = [block.text for block in blocks(PAGE, "python")]
    (tmp_path / "parcels.py").write_text(consumer, encoding="utf-8")
    (tmp_path / "test_parcels.py").write_text(tests, encoding="utf-8")
    return tmp_path


def run_pytest(folder: Path, *arguments: str) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "--strict-markers", "-p", "no:cacheprovider", *arguments]
    environment = herald_environment({"COLUMNS": "300"})
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False, timeout=PATIENCE
    )
    return done.returncode, done.stdout + done.stderr


def test_the_tests_of_the_page_pass(folder: Path) -> None:
    code, output = run_pytest(folder, "-q")

    assert code == 0, output
    assert "4 passed" in output


def test_a_consumer_that_acknowledges_before_it_commits_fails_as_the_page_shows(folder: Path) -> None:
    consumer = folder / "parcels.py"
    text = consumer.read_text(encoding="utf-8")
    consumer.write_text(text.replace("        depot.commit()\n", ""), encoding="utf-8")
    (shown,) = [block.text for block in blocks(PAGE, "text")]

    code, output = run_pytest(folder, "-q", "-k", "test_every_parcel_arrives")

    assert code == 1, output
    lines = [line.removeprefix("E").strip() for line in output.splitlines() if line.startswith("E  ")]
    assert sorted(map(comparable, lines)) == sorted(comparable(line.strip()) for line in shown.splitlines())


def test_the_page_names_what_there_is() -> None:
    text = prose(PAGE)
    methods = rows(section(PAGE, "The fixture `herald`"))

    named = set(re.findall(r"`(\w+)(?:\(|`)", " ".join(row[0] for row in methods)))
    points = re.findall(r"`(pipeline\.\w+)`", text)

    assert len(named) > 10
    assert [name for name in named if not hasattr(Herald, name) and name not in {"clock", "settings"}] == []
    assert len(points) > 5
    assert set(points) <= set(CRASHABLE)


def comparable(line: str) -> str:
    for pattern, placeholder in _VARIES:
        line = pattern.sub(placeholder, line)
    return line
