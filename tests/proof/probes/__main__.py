"""`python -m tests.proof.probes`: what hangs or is away, which probe says so, and how soon."""

import json
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import sample

import click

from tests.proof.callers.__main__ import durable_server
from tests.proof.faults.__main__ import finish, record_option
from tests.proof.faults.report import machine, paragraphs
from tests.proof.probes.cases import AWAY, Case, Found, both, hanging, hangs, play, ready, stopped
from tests.proof.probes.stage import STANDBY, Stage, staged
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.postgres import PostgresServer

HEAD = (
    "what hangs, or is away",
    "what is red",
    "what it says",
    "red after, s",
    "green after it goes on, s",
    "others that were red",
    "processes that ended by themselves",
    "accepted, and not delivered",
)
EVERYBODY = ("api", "relay", STANDBY, "pipeline")


@click.command()
@click.option("--only", default="", help="Only what has this in its name, as `relay`.")
@click.option("--lot", type=click.IntRange(1), default=None, help="Only so many, by lot.")
@record_option
def main(only: str, lot: int | None, *, is_recorded: bool) -> None:
    """Freeze each part of each process, and take the servers away, under a light load; ask the probes all the time."""
    found: list[Found] = []
    with durable_server() as (server, folder), ApacheKafka(folder) as kafka:
        with on_stage(server, kafka, {}) as stage:
            cases = [*hanging(stage), *stopped(stage), *away(server, kafka)]
            found += play_all(stage, sample(cases, lot) if lot else cases, only)
        with on_stage(server, kafka, {"HERALD_API_PROCESSES": "2"}) as stage:
            several = [hangs(stage, "api", part) for part in ("supervisor", "committer", "event loop")]
            found += play_all(stage, [replace(one, what=f"{one.what}, of several") for one in several], only)
    finish("probes", describe(found), is_recorded=is_recorded)
    sys.exit(1 if any(one.wrong for one in found) else 0)


def play_all(stage: Stage, cases: Sequence[Case], only: str) -> Iterator[Found]:
    for case in cases:
        if only in case.what:
            found = play(stage, case)
            times = f"red after {found.red_after:.1f} s, green after {found.green_after:.1f} s"
            click.echo("\n  WRONG: ".join([f"{found.what}: {times}", *found.wrong]), err=True)
            yield found


def away(server: PostgresServer, kafka: ApacheKafka) -> list[Case]:
    """For longer than a thread may be silent: frozen, so that it takes connections and never answers, and gone."""
    everybody, of_kafka, may_lead = ready(*EVERYBODY), ready("relay", "pipeline"), ready(STANDBY)
    return [
        Case("PostgreSQL answers nothing", server.freeze, server.thaw, everybody, AWAY),
        Case("PostgreSQL is gone", server.stop, server.start, everybody, AWAY),
        Case("Kafka answers nothing", kafka.child.pause, kafka.child.resume, of_kafka, AWAY, may_lead),
        Case("Kafka is gone", kafka.kill, kafka.start, of_kafka, AWAY, may_lead),
    ]


@contextmanager
def on_stage(server: PostgresServer, kafka: ApacheKafka, settings: dict[str, str]) -> Iterator[Stage]:
    with (
        tempfile.TemporaryDirectory(prefix="herald-probes-", ignore_cleanup_errors=True) as name,
        staged(Path(name), server.url(), kafka.bootstrap_servers, settings) as stage,
    ):
        yield stage


def describe(found: Sequence[Found]) -> str:
    rows = [f"| {' | '.join(cells(one))} |" for one in found]
    table = "\n".join([f"| {' | '.join(HEAD)} |", "|---" * len(HEAD) + "|", *rows])
    wrong = [text for one in found for text in one.wrong]
    return paragraphs([f"{machine()}.", table, f"WRONG: {' · '.join(wrong)}" if wrong else "Nothing was wrong."])


def cells(one: Found) -> list[str]:
    probes = one.probes
    roles = sorted({role for role, _ in probes})
    red = ", ".join(f"{role} {'live and ready' if both(role) <= probes else named(role, probes)}" for role in roles)
    others = ", ".join(f"{role} {state}" for role, state in one.others) or "none"
    seconds = f"{one.red_after:.1f}", f"{one.green_after:.1f}"
    return [one.what, red, told(one.said), *seconds, others, str(one.ended), str(one.lost)]


def named(role: str, probes: frozenset[tuple[str, str]]) -> str:
    return next(state for one, state in probes if one == role)


def told(said: str) -> str:
    """What it names, without the form."""
    return ", ".join(json.loads(said)["missing"]) if said.startswith("{") else said.partition(":")[0]


if __name__ == "__main__":
    main()
