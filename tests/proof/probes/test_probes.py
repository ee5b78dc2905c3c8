"""A part of a process hangs: its own `live` is red, no other probe is, and it is green again when the part goes on.

`python -m tests.proof.probes` has them all, with the limit of production, and the servers.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.proof.end_to_end.system import show
from tests.proof.probes.cases import WAITS_FOR_LOCK, hangs, play
from tests.proof.probes.stage import Stage, staged
from tests.servers.postgres import PostgresServer
from tests.servers.tansu import Tansu

SILENT_FOR = 5.0  # seconds
NAMED = {
    ("api", "committer"): "committer",
    ("api", "event loop"): "event loop",
    ("api", "keys"): "keys",
    ("relay", "scheduler"): "herald-scheduler",
    ("relay", WAITS_FOR_LOCK): "relay",
    ("pipeline", "worker"): "consumer",  # whose flush waits for it
    ("pipeline", "flush"): "consumer",
    ("pipeline", "loop of calls"): "calls",
    ("pipeline", "channel"): "a delivery over log",
    ("pipeline", "handler"): "a delivery by a handler",
}


@pytest.fixture(scope="module")
def stage(migrated_cluster: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    folder = tmp_path_factory.mktemp("probes")
    with (
        PostgresServer(like=migrated_cluster) as server,
        Tansu(folder) as broker,
        staged(folder, server.url(), broker.bootstrap_servers, {}, silent_for=SILENT_FOR) as stage,
    ):
        yield stage


@pytest.mark.parametrize(("role", "part"), NAMED)
def test_a_part_that_hangs_turns_live_red_until_it_goes_on_and_no_other_probe(
    stage: Stage, role: str, part: str
) -> None:
    found = play(stage, hangs(stage, role, part))

    show(f"{found.what}: red after {found.red_after:.1f} s, green after {found.green_after:.1f} s")
    assert f"stuck: {NAMED[role, part]}" in found.said
    assert (found.others, found.lost) == ([], 0)
    assert all(map(stage.watching.is_green, found.probes))
