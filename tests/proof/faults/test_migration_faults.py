"""A migration under load, the release before beside the next one, and a pooler that comes in between.

The release before is the last commit before the newest migration.
"""

import io
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from herald.outbox.cli import GROUP
from tests.conftest import ROOT, migrate
from tests.proof.faults.course import endure
from tests.proof.faults.poolers import REFUSES
from tests.proof.faults.world import DATABASE, World, made_world
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment
from tests.servers.pooler import Pooler
from tests.servers.ports import free_port

pytestmark = [pytest.mark.kafka, pytest.mark.proof]

STARTED = 90.0  # seconds
REVISION = "SELECT version_num FROM alembic_version"
SESSIONS = 20  # of the pool


@pytest.fixture
def release_before(tmp_path: Path) -> Path:
    """Its code in a folder; skips in a checkout that lacks its commit, and until there is a second migration."""
    if len(list((ROOT / "alembic" / "versions").glob("*.py"))) == 1:
        pytest.skip("the only migration is the baseline: what was before it had other tables")
    newest = _git("log", "-1", "--diff-filter=A", "--format=%H", "--", "alembic/versions/*.py").decode().strip()
    try:
        packed = _git("archive", f"{newest}~")
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this checkout lacks the release before: {error.stderr.decode().strip()}")
    folder = tmp_path / "before"
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")
    _name_its_commands(folder)
    _name_its_package(folder)
    return folder


def _name_its_commands(release: Path) -> None:
    """Its own commands, as an installed wheel names them: what is installed here names those of the next release."""
    project = tomllib.loads((release / "pyproject.toml").read_text())["project"]
    commands = project["entry-points"][GROUP]
    information = _code_of(release) / f"{project['name']}-{project['version']}.dist-info"
    information.mkdir()
    (information / "METADATA").write_text(f"Name: {project['name']}\nVersion: {project['version']}\n")
    lines = [f"[{GROUP}]", *(f"{name} = {where}" for name, where in commands.items())]
    (information / "entry_points.txt").write_text("\n".join(lines) + "\n")


def _code_of(release: Path) -> Path:
    """What its processes import from."""
    return release / "src" if (release / "src").is_dir() else release


def _name_its_package(release: Path) -> None:
    """A release from before the package `herald` is started by the same command as this one."""
    if _code_of(release) != release:
        return
    package = release / "herald" / "outbox"
    package.mkdir(parents=True)
    for folder in (package.parent, package):
        (folder / "__init__.py").touch()
    (package / "cli.py").write_text("from outbox.cli import main\nmain(prog_name='herald')\n")


def _git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, check=True).stdout


def migrate_by(release: Path, url: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "alembic", "upgrade", "head"],
        cwd=release,
        env=herald_environment({"DATABASE_URL": url, "PYTHONPATH": str(_code_of(release))}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_a_migration_under_load_and_two_releases_beside_each_other_lose_nothing(release_before: Path) -> None:
    code = str(_code_of(release_before))
    with made_world(migrate=lambda url: migrate_by(release_before, url), PYTHONPATH=code) as world:
        endure(world, "migration under load, then both releases, then the next alone", upgraded)


@contextmanager
def upgraded(world: World) -> Iterator[None]:
    """Migrate, start the next release beside the one before, and then stop that one."""
    before_it = world.server.ask(REVISION, DATABASE)
    migrate(world.database)
    assert world.server.ask(REVISION, DATABASE) != before_it, "the release before has migrated it already"
    fleet = world.scene.fleet
    before = dict(fleet.members)
    fleet.settings.pop("PYTHONPATH")
    port = free_port()
    next_ones = {f"{name}-next": world.make_member(f"{name}-next", port) for name in before}
    fleet.members |= next_ones
    for member in next_ones.values():
        member.start()
    fleet.ports.append(port)
    eventually(fleet.is_ready, STARTED, what="both releases work")
    yield
    fleet.members = next_ones
    fleet.ports.pop(0)
    for member in before.values():
        assert member.stop() == 0, member.tail()


def test_a_pooler_in_transaction_mode_that_comes_before_api_and_pipeline_is_an_outage_and_loses_nothing(
    world: World,
) -> None:
    with Pooler(world.database, size=SESSIONS) as pooler:
        endure(
            world,
            "a pool in transaction mode comes before api and pipeline at work, which refuse it",
            lambda world: pooled(world, pooler),
            lasts=6.0,
        )


@contextmanager
def pooled(world: World, pooler: Pooler) -> Iterator[None]:
    """For a while: both say what is wrong, and nothing is accepted before they have PostgreSQL itself again."""
    through = ("api", "pipeline")
    for role in through:
        world.proxies[f"{role}-postgres"].lead_to(pooler.port)
    for role in through:
        world.scene.fleet.members[f"{role}-1"].wait_for(REFUSES, STARTED)
    accepted = world.ledger.accepted
    yield
    assert world.ledger.accepted == accepted, "the API has worked through the pool"
    for proxy in world.of("postgres"):
        proxy.lead_to(world.server.socket)
