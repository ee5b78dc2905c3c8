"""The README's guarantees and the mechanisms that can be taken out agree, and taking one out shows.

All of them: `make mechanisms`, a quarter of an hour.
"""

import re
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, rows, section
from tests.proof.mechanisms.__main__ import judge, make_copy
from tests.proof.mechanisms.removal import Edit, Removal
from tests.proof.mechanisms.removals import REMOVALS

_TEST = re.compile(r"\[(test_\w+)\]\(([\w/]+\.py)\)")
PERMANENT = "tests/pipeline/deliver/test_retry.py::test_a_permanent_error_is_the_end"


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_copy(tmp_path_factory.mktemp("copy"))


def promised() -> dict[str, set[str]]:
    """The tests of each guarantee."""
    guarantees = rows(section(ROOT / "README.md", "Guarantees"))
    return {row[0]: {f"{path}::{test}" for test, path in _TEST.findall(row[2])} for row in guarantees}


def test_every_test_of_a_guarantee_has_a_mechanism_without_which_it_fails() -> None:
    taken_out = {test for removal in REMOVALS for test in removal.tests}

    assert taken_out == set().union(*promised().values())


def test_every_guarantee_has_a_test_that_make_test_runs(request: pytest.FixtureRequest) -> None:
    """Where all tests were collected, those of `make proof-all` left out: what is collected is what is run."""
    config = request.config
    if config.args_source is not pytest.Config.ArgsSource.TESTPATHS or config.option.markexpr != "not proof":
        pytest.skip("a part of the tests is run")

    run = {item.nodeid.partition("[")[0] for item in request.session.items}

    assert [promise for promise, tests in promised().items() if not tests & run] == []


@pytest.mark.parametrize("removal", REMOVALS, ids=lambda removal: removal.mechanism)
def test_a_mechanism_can_still_be_taken_out(removal: Removal) -> None:
    for edit in removal.edits:
        assert (ROOT / edit.path).read_text(encoding="utf-8").count(edit.old) == 1, edit


@pytest.mark.proof
def test_without_a_mechanism_its_test_fails_and_the_copy_is_whole_again(tree: Path) -> None:
    (removal,) = [one for one in REMOVALS if one.mechanism == "a permanent error is the end"]
    before = (tree / "pipeline/deliver/retry.py").read_bytes()

    assert judge(tree, removal) == {"test_a_permanent_error_is_the_end": "fails"}
    assert (tree / "pipeline/deliver/retry.py").read_bytes() == before


@pytest.mark.proof
def test_what_changes_nothing_is_found_out(tree: Path) -> None:
    idle = Edit(
        "pipeline/deliver/retry.py",
        '"""Nothing more is tried, and the destination is not to blame."""',
        '"""Nothing."""',
    )

    assert judge(tree, Removal("nothing", (idle,), (PERMANENT,))) == {"test_a_permanent_error_is_the_end": "passes"}


@pytest.mark.proof
def test_a_test_that_cannot_run_proves_nothing(tree: Path) -> None:
    broken = Edit("pipeline/deliver/retry.py", "import random\n", "import nowhere\n")

    assert judge(tree, Removal("imports", (broken,), (PERMANENT,))) == {
        "test_a_permanent_error_is_the_end": "was not run"
    }
