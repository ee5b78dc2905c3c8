"""`python -m tests.proof.callers`: an outbox in everybody's own transaction, each proof with a report."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from herald.pipeline.testing.clock import VirtualClock
from tests.conftest import migrate
from tests.proof.callers import reports
from tests.proof.callers.away import go_away
from tests.proof.callers.doors import compare, deliver
from tests.proof.callers.kills import kill_callers
from tests.proof.callers.lock_waits import LOGGED
from tests.proof.callers.locks import call_beside_operations
from tests.proof.callers.matrix import play
from tests.proof.callers.open_transaction import stay_open
from tests.proof.callers.operations import RETENTION
from tests.proof.callers.plans import Numbers
from tests.proof.callers.programs import installed, lacking
from tests.proof.callers.stage import PREPARED, Stage, staged
from tests.proof.faults.__main__ import drawn, finish, record_option, seed_option
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.postgres import DURABLE, PostgresServer

CLOSING = {"HERALD_RETENTION": f"{RETENTION:g}"}


@click.group()
def main() -> None:
    """Put callers' transactions beside a running Herald, and compare what each of them is left with."""


@main.command()
@click.option("--kills", type=click.IntRange(1), default=200, show_default=True)
@seed_option
@record_option
def ways(kills: int, seed: int | None, *, is_recorded: bool) -> None:
    """Go each way in each isolation level to each ending, and kill callers in between."""
    seed = drawn(seed)
    numbers = Numbers()
    with durable_server(**PREPARED) as (server, folder), on_stage(server, folder) as stage:
        played = play(stage, numbers, installed())
        killed = kill_callers(stage, numbers, installed(), kills=kills, seed=seed)
    finish("callers-ways", reports.ways(played, killed, seed=seed), is_recorded=is_recorded)
    sys.exit(1 if played.wrong or killed.wrong or lacking() else 0)


@main.command()
@click.option(
    "--seconds", type=click.FloatRange(10), default=3600.0, show_default=True, help="For how long it is open."
)
@click.option("--rate", type=float, default=60.0, show_default=True, help="Sends per second beside it.")
@record_option
def transaction(seconds: float, rate: float, *, is_recorded: bool) -> None:
    """Leave a caller's transaction open that has sent, cancelled and used a key."""
    with durable_server(**LOGGED) as (server, folder):
        clock = VirtualClock(server.url())
        clock.install()
        with on_stage(server, folder, **CLOSING) as stage:
            found = stay_open(stage, clock, folder, seconds=seconds, rate=rate)
    finish("callers-transaction", reports.transaction(found, seconds=seconds), is_recorded=is_recorded)
    found.assert_clean()


@main.command()
@click.option("--seconds", type=click.FloatRange(20), default=300.0, show_default=True)
@click.option("--rate", type=float, default=1000.0, show_default=True, help="Transactions per second of all callers.")
@record_option
def locks(seconds: float, rate: float, *, is_recorded: bool) -> None:
    """Close, cut, rebuild and migrate beside 32 callers, and count who waited."""
    with durable_server(**LOGGED) as (server, folder):
        found = call_beside_operations(server, folder, rate=rate, seconds=seconds, messages=500, partitions=16)
    finish("callers-locks", reports.locks(found), is_recorded=is_recorded)
    found.assert_clean()


@main.command()
@click.option("--days", type=float, default=10.0, show_default=True)
@click.option("--orders", type=click.IntRange(1), default=1000, show_default=True)
@record_option
def away(days: float, orders: int, *, is_recorded: bool) -> None:
    """Send while nothing of Herald runs, days after it stopped."""
    with durable_server() as (server, folder):
        clock = VirtualClock(server.url())
        clock.install()
        with on_stage(server, folder) as stage:
            found = go_away(stage, clock, days=days, orders=orders)
    finish("callers-away", reports.away(found), is_recorded=is_recorded)
    sys.exit(1 if found.wrong else 0)


@main.command()
@click.option("--inputs", type=click.IntRange(100), default=50_000, show_default=True)
@seed_option
@record_option
def inputs(inputs: int, seed: int | None, *, is_recorded: bool) -> None:
    """Give the same inputs to HTTP and to SQL."""
    seed = drawn(seed)
    with durable_server(fsync="off") as (server, folder):
        server.execute("CREATE DATABASE behind_http")
        migrate(server.url("behind_http"))
        compared = compare(server.url("behind_http"), server.url(), folder, inputs=inputs, seed=seed)
        with ApacheKafka(folder) as kafka:
            deliver(compared, server.url(), kafka.bootstrap_servers, folder)
    finish("callers-inputs", reports.inputs(compared), is_recorded=is_recorded)
    sys.exit(1 if compared.wrong else 0)


@contextmanager
def durable_server(**options: str) -> Iterator[tuple[PostgresServer, Path]]:
    """A PostgreSQL that forgets nothing, migrated, and a folder."""
    with (
        tempfile.TemporaryDirectory(prefix="herald-callers-", ignore_cleanup_errors=True) as name,
        PostgresServer({**DURABLE, **options}) as server,
    ):
        migrate(server.url())
        yield server, Path(name)


@contextmanager
def on_stage(server: PostgresServer, folder: Path, **settings: str) -> Iterator[Stage]:
    """With Apache Kafka."""
    with ApacheKafka(folder) as kafka, staged(folder, server, kafka.bootstrap_servers, settings) as stage:
        yield stage


if __name__ == "__main__":
    main()
