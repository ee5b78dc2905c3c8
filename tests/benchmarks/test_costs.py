"""The table of costs: what it says, and that it runs."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from benchmarks.__main__ import PARTS
from benchmarks.costs import adapters, histories
from benchmarks.costs.bench import Reading
from benchmarks.costs.command import PAGE
from benchmarks.costs.parts.moves import count_insertions, place
from benchmarks.costs.table import Table
from benchmarks.side import HERE
from tests.conftest import StartHerald
from tests.proof.faults.report import record
from tests.servers.eventually import eventually

DUMP = """\
rmgr: Btree len (rec/tot): 72/72, tx: 8, lsn: 0/1, prev 0/0, desc: INSERT_LEAF off: 3, blkref #0: rel 1663/5/70 blk 1
rmgr: Btree len (rec/tot): 64/64, tx: 8, lsn: 0/2, prev 0/1, desc: INSERT_POST off: 9, postingoff: 1, blkref #0: rel 1663/5/70 blk 1
rmgr: Btree len (rec/tot): 990/9, tx: 8, lsn: 0/3, prev 0/2, desc: SPLIT_R level: 0, firstrightoff: 3, newitemoff: 4, postingoff: 0, blkref #0: rel 1663/5/71 blk 1, blkref #1: rel 1663/5/71 blk 2
rmgr: Btree len (rec/tot): 990/9, tx: 8, lsn: 0/4, prev 0/3, desc: SPLIT_L level: 1, firstrightoff: 3, newitemoff: 4, postingoff: 0, blkref #0: rel 1663/5/71 blk 9
rmgr: Btree len (rec/tot): 64/64, tx: 8, lsn: 0/5, prev 0/4, desc: INSERT_UPPER off: 9, blkref #0: rel 1663/5/71 blk 1
rmgr: Btree len (rec/tot): 64/64, tx: 8, lsn: 0/6, prev 0/5, desc: INSERT_LEAF off: 9, blkref #0: rel 1663/5/2663 blk 1
rmgr: Btree len (rec/tot): 64/64, tx: 8, lsn: 0/7, prev 0/6, desc: INSERT_LEAF off: 9, blkref #0: rel 1663/6/70 blk 1
"""  # noqa: E501 - as it prints them


def test_insertions_are_entries_of_leaves_in_indexes_of_this_database() -> None:
    assert count_insertions(DUMP.splitlines(), {"5/70", "5/71"}) == 3


def test_places_in_the_wal_are_bytes() -> None:
    assert place("1/10") - place("0/FFFFFFF0") == 0x20


def test_a_line_shows_medians_and_the_median_of_the_rounds_ratios() -> None:
    table = Table(["this", "8fa6f06"])
    for this, other in ((1000.0, 2000.0), (3000.0, 3000.0), (2000.0, 2500.0)):
        table.add("this", Reading({"WAL, bytes": this}, idle=55))
        table.add("8fa6f06", Reading({"WAL, bytes": other}, idle=44))

    assert str(table).splitlines() == [
        "|  | this | 8fa6f06 | ratio | idle |",
        "| --- | ---: | ---: | ---: | ---: |",
        "| WAL, bytes | 2,000 | 2,500 | 0.80 | 44 % |",
    ]


def test_a_line_that_left_little_of_the_machine_says_so() -> None:
    table = Table(["this"])
    table.add("this", Reading({"claim of 25, ms": 1.25}, idle=9.4))

    assert str(table).endswith("| claim of 25, ms | 1.25 | 9 %, less than 10 % |")


@pytest.mark.parametrize("name", ["costs", *(f"bench-{part}" for part in PARTS)])
def test_the_page_has_a_place_for_the_table(tmp_path: Path, name: str) -> None:
    page = tmp_path / PAGE.name
    page.write_text(PAGE.read_text(encoding="utf-8"), encoding="utf-8")

    record(name, "| a | table |", page=page)

    assert f"-->\n| a | table |\n<!-- /{name} -->\n" in page.read_text(encoding="utf-8")


def test_an_adapter_fits_this_checkout_and_an_unknown_one_is_refused(tmp_path: Path) -> None:
    assert adapters.fitting(HERE.root) == "in_herald"
    with pytest.raises(LookupError, match="no adapter"):
        adapters.fitting(tmp_path)


def test_a_loaded_log_is_what_herald_would_have_written(database: str, start_herald: StartHerald) -> None:
    histories.load(database, 30)

    check = start_herald("rebuild", "--check", "--json", DATABASE_URL=database)
    eventually(lambda: not check.running, 30.0)

    assert check.exit_code == 0, check.tail()
    (told,) = [line for line in check.output().splitlines() if line.startswith('{"partitions"')]
    assert sum(one["messages"] for one in json.loads(told)["partitions"]) == 30


@pytest.fixture
def cache() -> Iterator[Path]:
    """Not pytest's folder: PostgreSQL's account could not come there, and nothing would be kept."""
    folder = Path(tempfile.mkdtemp(prefix="herald-costs-"))
    folder.chmod(0o711)
    yield folder
    rmtree(folder)


def test_the_table_can_be_made_of_this_checkout_alone(cache: Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "costs", "--short", "--only", "moves", "--cache", str(cache)]
    done = subprocess.run(command, cwd=HERE.root, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stderr
    (result,) = (cache / "results").iterdir()
    lines = {line["name"]: line["figures"] for line in json.loads(result.read_text())["lines"]}
    assert all(f"| {name} |" in done.stdout for name in lines)
    parts = [f"WAL per delivered message: {move}, bytes" for move in ("accept", "claim", "record")]
    (whole,) = lines["WAL per delivered message, bytes"].values()
    assert whole == pytest.approx([sum(figure for part in parts for (figure,) in lines[part].values())])
    assert {f"{move} of {count}, ms" for move in ("claim", "record") for count in (1, 25)} <= lines.keys()
    assert all(figure > 0 for name, found in lines.items() if "TOAST" not in name for (figure,) in found.values())
