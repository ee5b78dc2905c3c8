"""PostgreSQL fails in every way that servers do."""

from collections.abc import Iterator
from contextlib import closing, contextmanager

import pytest

from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.statements import execute
from tests.proof.faults.course import endure
from tests.proof.faults.world import DATABASE, World
from tests.servers.postgres import standby_of

pytestmark = [pytest.mark.kafka, pytest.mark.proof]

HOURLY = "CREATE TABLE IF NOT EXISTS elsewhere (n int); INSERT INTO elsewhere VALUES (1)"
CONFLICT = """
CREATE FUNCTION conflict() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF random() < 0.3 THEN
        RAISE 'could not serialize access' USING ERRCODE = (ARRAY['40001', '40P01'])[1 + (random() * 1)::int];
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER conflict AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION conflict();
CREATE TRIGGER conflict AFTER UPDATE ON relay_cursor FOR EACH STATEMENT EXECUTE FUNCTION conflict()
"""
NO_CONFLICT = "DROP FUNCTION conflict CASCADE"


@contextmanager
def restarted(world: World) -> Iterator[None]:
    world.server.stop()
    yield
    world.server.start()


@contextmanager
def killed(world: World) -> Iterator[None]:
    world.server.kill()
    yield
    world.server.start()


@contextmanager
def frozen(world: World) -> Iterator[None]:
    world.server.freeze()
    yield
    world.server.thaw()


@contextmanager
def cut_in_commit(world: World) -> Iterator[None]:
    for proxy in world.of("postgres"):
        proxy.sever(b"COMMIT", times=5)
    yield
    for proxy in world.of("postgres"):
        proxy.heal()
    assert sum(proxy.severed for proxy in world.of("postgres")) >= 3


@contextmanager
def conflicting(world: World) -> Iterator[None]:
    world.server.execute(CONFLICT, DATABASE)
    yield
    world.server.execute(NO_CONFLICT, DATABASE)


@contextmanager
def read_only(world: World) -> Iterator[None]:
    """Of all sessions at once, as some do it whose disk is nearly full."""
    world.server.set("default_transaction_read_only", "on")
    yield
    world.server.set("default_transaction_read_only", "off")


@contextmanager
def read_only_for_new_sessions(world: World) -> Iterator[None]:
    """A session keeps what held when it began."""
    world.server.execute(f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on")
    cut(world)
    yield
    world.server.execute(f"ALTER DATABASE {DATABASE} RESET default_transaction_read_only")


@contextmanager
def without_its_synchronous_standby(world: World) -> Iterator[None]:
    world.server.set("synchronous_standby_names", "gone")
    yield
    world.server.set("synchronous_standby_names", "")


@contextmanager
def behind_an_hour_long_transaction(world: World) -> Iterator[None]:
    """Its id is older than all that is written meanwhile, and it ends after them."""
    with closing(connect_plainly(world.server.url())) as connection:
        execute(connection, HOURLY)
        yield
        connection.commit()


@contextmanager
def led_to_a_standby(world: World) -> Iterator[None]:
    primary = world.server
    with standby_of(primary) as standby:
        for proxy in world.of("postgres"):
            proxy.lead_to(standby.socket)
        yield
        for proxy in world.of("postgres"):
            proxy.lead_to(primary.socket)


def cut(world: World) -> None:
    for proxy in world.of("postgres"):
        proxy.cut()


def test_a_restart_loses_nothing(world: World) -> None:
    endure(world, "PostgreSQL stopped and started", restarted)


def test_a_crash_loses_nothing(world: World) -> None:
    endure(world, "PostgreSQL killed, recovered", killed)


def test_a_frozen_server_loses_nothing(world: World) -> None:
    endure(world, "PostgreSQL frozen for longer than a statement may take", frozen, lasts=8.0)


def test_commits_that_are_not_answered_lose_nothing(world: World) -> None:
    endure(world, "connections cut in COMMIT, the answer withheld", cut_in_commit, lasts=4.0)


def test_conflicts_lose_nothing(world: World) -> None:
    endure(world, "serialization errors and deadlocks, in 30 % of statements", conflicting, lasts=4.0)


def test_a_server_that_is_read_only_for_a_while_loses_nothing(world: World) -> None:
    endure(world, "read-only", read_only)


def test_sessions_that_began_read_only_are_not_kept(world: World) -> None:
    endure(world, "read-only for sessions that began meanwhile", read_only_for_new_sessions)


def test_a_missing_synchronous_standby_loses_nothing(world: World) -> None:
    endure(world, "synchronous standby gone", without_its_synchronous_standby, lasts=6.0)


def test_a_write_transaction_that_stays_open_holds_nothing_up(world: World) -> None:
    course = endure(world, "a write transaction open elsewhere in the cluster", behind_an_hour_long_transaction)

    assert course.unknown == 0


def test_an_address_that_leads_to_a_standby_loses_nothing(world: World) -> None:
    endure(world, "the DSN leads to a standby", led_to_a_standby, lasts=4.0)
