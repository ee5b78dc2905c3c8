"""`herald doctor`: all checks, in their order, for a person or for a program.

What one subject does not tell hides nothing of the others.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing, suppress
from dataclasses import asdict
from itertools import groupby
from typing import get_args

import rich_click as click
from confluent_kafka import KafkaException
from rich.text import Text

from herald.outbox.kafka.clients import explanation
from herald.outbox.operate.doctor import group, locks, relay, roles, server, session, tables, topics
from herald.outbox.operate.doctor import settings as configuration
from herald.outbox.operate.doctor.database import NAME, Database
from herald.outbox.operate.doctor.finding import TROUBLE, Checks, Finding, Level, Told, problem, run
from herald.outbox.operate.doctor.kafka import Kafka, Stored
from herald.outbox.operate.opening import answering, connect_to_look, first_line
from herald.outbox.operate.shown import Line, count, findings, show
from herald.outbox.postgres.driver import PostgresError
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.postgres.instance import identified
from herald.outbox.settings import Settings

SERVER: Checks[Database] = {**server.CHECKS, **session.CHECKS, "migrations": tables.migrated}
TABLES: Mapping[str, Checks[Database]] = {  # only once they are there
    "tables": {**roles.CHECKS, **tables.CHECKS},
    "relay": relay.CHECKS,
    "locks": locks.CHECKS,
    "sizes": tables.SIZES,
}
KAFKA: Checks[Kafka] = {**topics.CHECKS, **group.CHECKS}
SETTINGS = configuration.CHECKS

DATABASE_AWAY = (
    "Check DATABASE_URL, that the server runs, and that pg_hba.conf and firewalls let this machine in: pg_isready"
)
KAFKA_AWAY = "Check KAFKA_BOOTSTRAP_SERVERS, KAFKA_SECURITY_PROTOCOL and the brokers' advertised.listeners."
STYLES: dict[Level, str] = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "bold red"}


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--patience",
    type=click.FloatRange(0, 86_400),
    default=60.0,
    show_default=True,
    help="Seconds that a transaction may be open before it is a finding.",
)
def command(*, as_json: bool, patience: float) -> None:
    """Look for what is wrong, or soon will be, and say what to do.

    Reads the settings as every process does, asks the database and Kafka, and changes nothing. The exit code is
    0 when there are only notes, 1 for warnings and problems, 2 for wrong settings.
    """
    told: list[Told] = []
    with answering() as settings:
        for family, members in groupby(examine(settings, patience), lambda one: one[0]):
            told += (of_family := list(members))
            if not as_json:  # one table per subject, as soon as it is known
                show(Text(family, style="bold"), findings(_line(check, finding) for _, check, finding in of_family))
    by_level = Counter(finding.level for _, _, finding in told)
    found = {level: by_level[level] for level in reversed(get_args(Level))}  # the worst first
    if as_json:
        listed = [{"family": family, "check": check, **asdict(finding)} for family, check, finding in told]
        click.echo(json.dumps({"counts": found, "findings": listed}))
    else:
        troubles = [count(found[level], level) for level in ("problem", "warning", "note")]
        show(Text(", ".join([*troubles, f"{found['ok']} ok"])))
    raise SystemExit(1 if any(found[level] for level in TROUBLE) else 0)


def _line(check: str, finding: Finding) -> Line:
    level, style = finding.level, STYLES[finding.level]
    return Line(f"  {level}", style, check, finding.text, finding.advice, "bold" if level in TROUBLE else "")


def examine(settings: Settings, patience: float) -> Iterator[Told]:
    """Look at everything; `patience` is how old, in seconds, a transaction may be before it is a finding."""
    stored = None
    try:
        with closing(connect_to_look(settings, NAME)) as connection:
            database = Database(settings, connection, patience)
            yield from run("database", SERVER, database)
            if tables.revision_of(database) is not None:
                for family, checks in TABLES.items():
                    yield from run(family, checks, database)
                stored = load_stored(database)
                with suppress(UnfitError):  # the checks before have said so
                    settings = identified(settings, connection)  # as every process does
    except PostgresError as error:
        away = f"the database does not answer: {first_line(error)}"
        yield "database", "connection", problem(away, DATABASE_AWAY)
    yield from _examine_kafka(Kafka(settings, stored))
    yield from run("settings", SETTINGS, configuration.read_configuration(settings))


def load_stored(database: Database) -> Stored | None:
    """What the database remembers of Kafka; None before the first relay."""
    rows = database.ask("SELECT cluster_id, topic_ids FROM relay_cursor WHERE name = 'relay'")
    return Stored(**rows[0]) if rows else None


def _examine_kafka(kafka: Kafka) -> Iterator[Told]:
    try:
        _ = kafka.metadata  # asks for it
    except KafkaException as error:
        away = f"Kafka at {kafka.settings.kafka_bootstrap_servers} does not answer: {explanation(error)}"
        yield "kafka", "brokers", problem(away, KAFKA_AWAY)
    else:
        yield from run("kafka", KAFKA, kafka)
