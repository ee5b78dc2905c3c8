"""Another PostgreSQL goes on: promoted, restored from a dump or cloned. Herald goes on with it, or says why not."""

import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from time import monotonic

import pytest

from tests.proof.faults.course import endure, judge
from tests.proof.faults.world import DATABASE, World, made_world
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.postgres import FAST, PostgresServer, standby_of

pytestmark = [pytest.mark.kafka, pytest.mark.proof]

CAUGHT_UP = 60.0  # seconds
ENDED = 60.0  # seconds
HIGHER = 5_000_000_000  # transaction ids; beyond what fits into 32 bits
BATCH = 80  # notifications
AT_RISK = 2.0  # seconds before a fail-over in which an asynchronous standby may lack what was accepted


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def test_a_promoted_standby_that_has_all_loses_nothing(stack: ExitStack) -> None:
    """It is synchronous: what was accepted is on it."""
    world = stack.enter_context(made_world(HERALD_FAILOVER="automatic"))
    standby = stack.enter_context(standby_of(world.server))
    world.server.set("synchronous_standby_names", "standby")
    eventually(
        lambda: world.server.ask("SELECT count(*) FROM pg_stat_replication WHERE sync_state = 'sync'") == 1, CAUGHT_UP
    )

    endure(world, "fail-over to a synchronous standby under load", lambda world: failed_over(world, standby))


def test_a_promoted_asynchronous_standby_loses_only_what_it_never_got(stack: ExitStack) -> None:
    world = stack.enter_context(made_world(HERALD_FAILOVER="automatic"))

    endure_a_fail_over(world, stack)


def endure_a_fail_over(world: World, stack: ExitStack) -> None:
    """What was answered just before it may be lost; the world goes on with the other server."""
    standby = stack.enter_context(standby_of(world.server))
    eventually(
        lambda: world.server.ask("SELECT count(*) FROM pg_stat_replication WHERE state = 'streaming'") == 1, CAUGHT_UP
    )
    found: list[float] = []

    @contextmanager
    def fault(world: World) -> Iterator[None]:
        found.append(monotonic())
        with failed_over(world, standby):
            yield
        excuse(world, found[0] - AT_RISK, monotonic())

    world.allowed |= {
        "log and provider disagree",
        "repeated calls, and the log knows of",
        "on Kafka and not in the log",
        "out of order at the provider",
    }
    endure(world, "fail-over to an asynchronous standby under load", fault)


@contextmanager
def failed_over(world: World, standby: PostgresServer) -> Iterator[None]:
    """The primary is killed under load, and the other one takes its place."""
    world.server.kill()
    yield
    standby.promote()
    if standby.ask("SHOW synchronous_standby_names"):
        standby.set("synchronous_standby_names", "")
    world.fail_over(standby)


def excuse(world: World, start: float, end: float) -> None:
    """What was answered just before the fail-over, and is nowhere, was accepted by a server that is gone."""
    known = set(world.server.ask("SELECT array_agg(id::text) FROM messages", DATABASE) or [])
    lost = [entry for entry in world.ledger.of("accepted") if start <= entry.answered < end and entry.id not in known]
    for entry in lost:
        entry.outcome, entry.id = "unknown", None
    print(f"accepted within {AT_RISK:g} s before the fail-over and lost with the primary: {len(lost)}")  # noqa: T201


@pytest.mark.parametrize("first_id", [None, HIGHER], ids=["lower ids", "higher ids"])
def test_a_restored_dump_is_refused_until_it_is_rebased_and_then_loses_nothing(
    stack: ExitStack, first_id: int | None
) -> None:
    world = stack.enter_context(made_world())
    world.server.execute("CREATE TABLE burned (n int)")
    deliver(world)
    (pipeline,) = world.scene.fleet.of("pipeline").values()
    assert pipeline.stop() == 0
    accept_some(world)  # waits on Kafka, or not even there
    for member in world.scene.fleet.members.values():
        member.kill()

    world.allowed |= {"not on Kafka"}  # the first request of what the relay had not published is replaced by another
    restored = stack.enter_context(restored_from(world.server, first_id))
    world.fail_over(restored)
    (relay,) = world.scene.fleet.of("relay").values()
    relay.start()
    relay.wait_for("relay_cannot_start", ENDED)
    assert "--rebase" in relay.tail()
    eventually(lambda: not relay.running, ENDED)
    rebase = HeraldProcess("relay", "--rebase", "--moved", folder=world.folder, settings=world.scene.fleet.settings)
    rebase.start()
    eventually(lambda: rebase.exit_code == 0, ENDED, what="it is rebased")

    world.scene.fleet.revive()
    eventually(world.scene.fleet.is_ready, ENDED)
    endure(world, f"dump and restore, {'lower' if first_id is None else 'higher'} transaction ids", nothing)


@contextmanager
def nothing(_world: World) -> Iterator[None]:
    yield


@contextmanager
def restored_from(origin: PostgresServer, first_id: int | None) -> Iterator[PostgresServer]:
    """A new cluster with the same database; its transaction ids begin at `first_id`."""
    restored = PostgresServer(FAST)
    if first_id:
        restored.begin_at(first_id)
    with restored:
        restored.execute(f"CREATE DATABASE {DATABASE}")
        dump = subprocess.Popen([str(origin.tool("pg_dump")), "-Fc", origin.url(DATABASE)], stdout=subprocess.PIPE)
        command = [str(origin.tool("pg_restore")), "--exit-on-error", "-d", restored.url(DATABASE)]
        done = subprocess.run(command, stdin=dump.stdout, capture_output=True, text=True, check=False)
        assert dump.wait() == 0
        assert done.returncode == 0, done.stderr
        yield restored


def deliver(world: World) -> None:
    accept_some(world)
    judge(world)


def accept_some(world: World) -> None:
    before = world.ledger.accepted
    with world.load(60.0, seed=before):
        eventually(lambda: world.ledger.accepted >= before + BATCH, ENDED, what="enough is accepted")


def test_a_clone_that_goes_on_in_the_place_of_its_original_loses_nothing(stack: ExitStack) -> None:
    """It has the same system identifier and timeline, so nothing tells it apart: its cursor fits its log."""
    world = stack.enter_context(made_world())
    deliver(world)
    clone = PostgresServer(copy_of=world.server)

    @contextmanager
    def replaced(world: World) -> Iterator[None]:
        world.server.stop()
        stack.enter_context(clone)
        world.fail_over(clone)
        yield

    with replaced(world):
        endure(world, "a clone in the place of its original", nothing)


DISK = 400 << 20  # bytes


def test_a_full_disk_loses_nothing(stack: ExitStack) -> None:
    world = stack.enter_context(made_world(disk=DISK))

    endure(world, "PostgreSQL's disk full", full, lasts=4.0)


@contextmanager
def full(world: World) -> Iterator[None]:
    disk = world.server.disk
    assert disk
    disk.fill()
    yield
    disk.free()
    if not world.server.child.running:  # it ends when the log cannot be written, as its documentation says
        world.server.start()
