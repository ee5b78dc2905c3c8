"""`python -m tests.proof.faults`: long runs on Apache Kafka, each with a report."""

import random
import sys
import tempfile
from pathlib import Path
from time import monotonic

import click

from tests.conftest import migrate
from tests.proof.faults import convictions as courts
from tests.proof.faults import courses, long_transaction, recovery
from tests.proof.faults import fenced as fences
from tests.proof.faults import large as large_messages
from tests.proof.faults import leaderless as brokers
from tests.proof.faults import outage as outages
from tests.proof.faults import poolers as pools
from tests.proof.faults import two_heralds as neighbours
from tests.proof.faults.court import DISK, opened_court
from tests.proof.faults.fleet import HURRIED
from tests.proof.faults.kills import PACE, RATE, describe, kill_at_random
from tests.proof.faults.points import describe as describe_points
from tests.proof.faults.points import visit_all
from tests.proof.faults.report import record, recorded
from tests.proof.faults.scene import durable_scene
from tests.proof.faults.world import IMPATIENT
from tests.proof.fuzz import conformance, log_flood
from tests.proof.fuzz import flood as floods
from tests.proof.fuzz.siege import besiege
from tests.proof.fuzz.siege import describe as describe_siege
from tests.servers import pgbouncer
from tests.servers.postgres import DURABLE, PostgresServer

OF_EACH = 2
LONG = 600.0  # seconds until all must be over

seed_option = click.option("--seed", type=int, default=None, help="Repeats a plan; drawn and shown without it.")
record_option = click.option("--record", "is_recorded", is_flag=True, help="Put the report into docs/proof.md.")


@click.group()
def main() -> None:
    """Put faults into a running Herald and compare what it did with what it promised."""


@main.command()
@click.option("--kills", type=click.IntRange(1), default=1000, show_default=True)
@click.option("--rate", type=float, default=RATE, show_default=True, help="Requests per second.")
@click.option("--pace", type=float, default=PACE, show_default=True, help="Seconds between two blows on average.")
@seed_option
@record_option
def kills(kills: int, rate: float, pace: float, seed: int | None, *, is_recorded: bool) -> None:
    """Kill processes at random under load."""
    seed = drawn(seed)
    with durable_scene(HURRIED, of_each=OF_EACH) as scene, scene.fleet.running():
        done, _, verdict = kill_at_random(scene, kills=kills, seed=seed, rate=rate, pace=pace, deadline=LONG)
    finish("kills", describe(done, verdict, seed=seed, rate=rate, of_each=OF_EACH), is_recorded=is_recorded)
    verdict.assert_clean()


@main.command()
@click.option("--messages", type=click.IntRange(1), default=10_000, show_default=True)
@record_option
def large(messages: int, *, is_recorded: bool) -> None:
    """Send messages of 1 MB through everything: no process takes more than 400 MB for them."""
    began = monotonic()
    with large_messages.large_scene() as scene:
        peaks = large_messages.send_large(scene, messages=messages)
    report = large_messages.describe(peaks, messages=messages, seconds=monotonic() - began)
    finish("large", report, is_recorded=is_recorded)
    sys.exit(1 if max(peaks.values()) > large_messages.LIMIT else 0)


@main.command()
@record_option
def points(*, is_recorded: bool) -> None:
    """Kill at every crash point, and freeze at every one of relay, scheduler and pipeline."""
    with durable_scene(HURRIED, of_each=OF_EACH) as scene, scene.fleet.running():
        killed, frozen, verdict = visit_all(scene, rate=RATE, deadline=LONG)
    finish("points", describe_points(killed, frozen, verdict), is_recorded=is_recorded)
    verdict.assert_clean()


@main.command()
@click.option("--rounds", type=click.IntRange(1), default=3, show_default=True, help="Turns of each fault.")
@record_option
def takeover(rounds: int, *, is_recorded: bool) -> None:
    """Lose one process and measure until another one works, and until all is normal."""
    with (
        durable_scene({}, of_each=OF_EACH, has_network=True) as scene,
        scene.fleet.running(),
        scene.load(recovery.RATE) as load,
    ):
        found = [one for _ in range(rounds) for one in recovery.measure_all(scene, load)]
    finish("takeover", recovery.describe(found), is_recorded=is_recorded)


@main.command()
@click.option("--seconds", type=float, default=600.0, show_default=True, help="For how long no pipeline runs.")
@record_option
def outage(seconds: float, *, is_recorded: bool) -> None:
    """Run without a pipeline under 80 % of the measured capacity."""
    with durable_scene({}, of_each=1) as scene, scene.fleet.running():
        found, verdict = outages.go_without_pipeline(scene, seconds, deadline=LONG + 5 * seconds)
    finish("outage", outages.describe(found, verdict), is_recorded=is_recorded)
    verdict.assert_clean()


@main.command()
@click.option(
    "--seconds",
    type=click.FloatRange(2 * long_transaction.SLICE),
    default=3600.0,
    show_default=True,
    help="For how long the transaction is open.",
)
@record_option
def transaction(seconds: float, *, is_recorded: bool) -> None:
    """Run beside a write transaction that stays open."""
    with durable_scene({}, of_each=1) as scene, scene.fleet.running():
        found, verdict = long_transaction.go_on_beside_one(scene, seconds, deadline=LONG)
    finish("transaction", long_transaction.describe(found, verdict), is_recorded=is_recorded)
    verdict.assert_clean()


@main.command()
@click.option("--seconds", type=float, default=60.0, show_default=True, help="For how long each fault lasts.")
@click.option("--only", default=None, help="Those faults whose name contains this.")
@record_option
def convictions(seconds: float, only: str | None, *, is_recorded: bool) -> None:
    """Take away what everybody needs, and count whose messages were ended for it."""
    found = []
    with opened_court(disk=4 * DISK) as court:  # for what all faults together leave on it
        for held in courts.hold_all(court, courts.chosen(only, court), seconds):
            click.echo(
                f"{held.fault}: convicted {held.convicted} {held.in_words()}; over {held.over_after:.1f} s after"
            )
            found.append(held)
        verdict = courts.judge(court)
    finish("convictions", courts.describe(found, verdict), is_recorded=is_recorded)
    verdict.assert_clean()
    assert not any(held.in_words() for held in found)


@main.command()
@click.option("--records", type=click.IntRange(1), default=50_000, show_default=True)
@seed_option
@record_option
def records(records: int, seed: int | None, *, is_recorded: bool) -> None:
    """Put random and mutated records on every topic, and account for each."""
    seed = drawn(seed)
    with opened_court() as court:
        found = floods.flood(court, records=records, seed=seed)
    finish("records", floods.describe(found), is_recorded=is_recorded)
    found.assert_clean()


@main.command()
@click.option("--requests", type=click.IntRange(100), default=100_000, show_default=True)
@seed_option
@record_option
def requests(requests: int, seed: int | None, *, is_recorded: bool) -> None:
    """Send random and mutated requests to an API while a good client sends its own."""
    seed = drawn(seed)
    with PostgresServer(DURABLE) as server, tempfile.TemporaryDirectory() as folder:
        migrate(server.url())
        found = besiege(server.url(), Path(folder), requests=requests, seed=seed)
    finish("requests", describe_siege(found), is_recorded=is_recorded)
    found.assert_clean()
    found.assert_quick()


@main.command()
@click.option("--seconds", type=click.FloatRange(1), default=600.0, show_default=True)
@seed_option
@record_option
def schema(seconds: float, seed: int | None, *, is_recorded: bool) -> None:
    """Hold the API against its own description, with every check of schemathesis."""
    seed = drawn(seed)
    with durable_scene(conformance.SET_UP, of_each=1) as scene, scene.fleet.running():
        found = conformance.conform(scene.fleet, seconds=seconds, seed=seed)
    finish("schema", conformance.describe(found), is_recorded=is_recorded)
    found.assert_clean()


@main.command()
@click.option("--rows", type=click.IntRange(1), default=2_000, show_default=True)
@seed_option
@record_option
def rows(rows: int, seed: int | None, *, is_recorded: bool) -> None:
    """Write random rows straight into the log, and look whether each is published or named."""
    seed = drawn(seed)
    with opened_court() as court:
        found = log_flood.flood(court, rows=rows, seed=seed)
    finish("rows", log_flood.describe(found), is_recorded=is_recorded)
    found.assert_clean()


@main.command()
@click.option("--seeds", type=click.IntRange(1), default=50, show_default=True, help="From 1 on.")
@click.option("--at-once", type=click.IntRange(1), default=5, show_default=True, help="Seeds that run side by side.")
@click.option("--without-patience", is_flag=True, help="Count how many never come back without it.")
@record_option
def fenced(seeds: int, at_once: int, *, without_patience: bool, is_recorded: bool) -> None:
    """Fence a broker, slow it down and break its connections, then look whether publishing goes on."""
    found = fences.play_all(seeds, at_once=at_once, patience=fences.WITHOUT if without_patience else None)
    name = "fenced-without-patience" if without_patience else "fenced"
    finish(name, fences.describe(found, has_patience=not without_patience), is_recorded=is_recorded)
    if without_patience:
        assert any(one.published_after is None for one in found), "the seeds show nothing"
        return
    assert all(one.published_after is not None and not one.lost for one in found)


@main.command()
@click.option(
    "--seconds", type=click.FloatRange(30.0), default=600.0, show_default=True, help="For how long it is down."
)
@click.option("--rate", type=float, default=10.0, show_default=True, help="Requests per second.")
@record_option
def leaderless(seconds: float, rate: float, *, is_recorded: bool) -> None:
    """Kill one broker of three where topics have one copy: other keys go on as before, its own catch up in order."""
    plan = brokers.Plan(seconds, rate)
    with brokers.leaderless_scene(brokers.DEFAULTS) as (scene, cluster), scene.fleet.running():
        found = brokers.lose_broker(scene, cluster, plan, deadline=LONG + seconds)
    finish(f"leaderless-{rate:g}", brokers.describe(found), is_recorded=is_recorded)
    found.assert_kept()
    sys.exit(1 if max(found.ratios) > brokers.MOST_RATIO else 0)


@main.command()
@click.option("--posts", type=click.IntRange(2), default=1000, show_default=True, help="Accepted at each place.")
@record_option
def poolers(posts: int, *, is_recorded: bool) -> None:
    """Put PgBouncer before each process, and kill PostgreSQL wherever all can run."""
    if not pgbouncer.PROGRAM:
        message = "PgBouncer is not installed (Debian: apt-get install pgbouncer)"
        raise click.ClickException(message)
    with durable_scene(IMPATIENT, of_each=1) as scene, scene.fleet.running():
        trial = pools.Trial(scene, posts)
        rows = trial.try_all()
    finish("poolers", pools.describe(rows, trial.verdict, posts=posts), is_recorded=is_recorded)
    trial.verdict.assert_clean()
    assert all(row.is_right for row in rows)


@main.command("two-heralds")
@click.option("--messages", type=click.IntRange(1), default=10_000, show_default=True, help="Of each Herald.")
@record_option
def two_heralds(messages: int, *, is_recorded: bool) -> None:
    """Run two Heralds on one Kafka, and copies of a database beside the original."""
    with neighbours.staged() as stage:
        found = neighbours.put_together(stage, messages=messages, foreign=max(1, messages // 10))
    finish("two-heralds", neighbours.describe(found), is_recorded=is_recorded)
    found.assert_right()


@main.command()
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
@record_option
def table(arguments: tuple[str, ...], *, is_recorded: bool) -> None:
    """Run the tests in which servers, networks, data and clocks fail, and make a table of what came of it.

    ARGUMENTS are pytest's, after `--`: of a part of the tests only their rows are made anew.
    """
    found, code = courses.run_all(list(arguments))
    report = courses.describe(found, recorded("faults") if arguments else "")
    finish("faults", report, is_recorded=is_recorded and code == 0)
    sys.exit(code)


def drawn(seed: int | None) -> int:
    """Shown at once, so that a run that never ends can be repeated too."""
    seed = random.SystemRandom().randrange(10**6) if seed is None else seed
    click.echo(f"seed {seed}")
    return seed


def finish(name: str, report: str, *, is_recorded: bool) -> None:
    click.echo(report)
    if is_recorded:
        record(name, report)


if __name__ == "__main__":
    main()
