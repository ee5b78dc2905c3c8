"""Each way into a caller's transaction; 200 kills by `python -m tests.proof.callers ways`."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import require
from tests.proof.callers.kills import PLACES, kill_callers
from tests.proof.callers.matrix import play
from tests.proof.callers.plans import Numbers
from tests.proof.callers.programs import installed, lacking
from tests.proof.callers.stage import PREPARED, Stage, staged
from tests.proof.faults.conftest import EMBEDDED
from tests.servers.postgres import FAST, PostgresServer
from tests.servers.tansu import Tansu

KILLS = 24  # each way at each place once


@pytest.fixture(scope="module")
def stage(migrated_cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("callers")
    with (
        PostgresServer({**FAST, **PREPARED}, like=migrated_cluster) as server,
        Tansu(folder) as broker,
        staged(folder, server, broker.bootstrap_servers, EMBEDDED, keeps_records=False) as made,
    ):
        yield made


@pytest.fixture(scope="module")
def numbers() -> Numbers:
    return Numbers()


def test_from_each_way_in_each_isolation_level_what_commits_is_sent_and_nothing_else(
    stage: Stage, numbers: Numbers
) -> None:
    played = play(stage, numbers, installed())

    assert played.wrong == []
    require("a way", lacking())


def test_a_caller_that_is_killed_leaves_its_row_and_its_message_or_neither(stage: Stage, numbers: Numbers) -> None:
    killed = kill_callers(stage, numbers, installed(), kills=KILLS, seed=7)

    assert killed.wrong == []
    assert set(killed.places) == set(PLACES)
