"""`herald doctor`: all checks, in their order, for a person or for a program.

What one subject does not tell hides nothing of the others.
"""

import json
from collections import Counter
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from itertools import groupby
from typing import get_args

import rich_click as click
from confluent_kafka import KafkaError, KafkaException
from rich.table import Table
from rich.text import Text

from herald.outbox.kafka.clients import code, explanation, own_code
from herald.outbox.operate.doctor import group, locks, relay, roles, server, session, tables, topics
from herald.outbox.operate.doctor import settings as configuration
from herald.outbox.operate.doctor.database import NAME, Database
from herald.outbox.operate.doctor.finding import (
    TROUBLE,
    Check,
    Finding,
    Level,
    Result,
    Subject,
    UntoldError,
    note,
    problem,
    warning,
)
from herald.outbox.operate.doctor.kafka import Kafka, Stored
from herald.outbox.operate.opening import answering, connect_to_look, first_line
from herald.outbox.operate.shown import Line, count, findings, show
from herald.outbox.postgres.connections import reason
from herald.outbox.postgres.driver import PostgresError
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.postgres.instance import identified
from herald.outbox.settings import Settings

SERVER = (*server.CHECKS, *session.CHECKS, Check("migrations", tables.migrated))
TABLES = (  # only once they are there
    ("tables", (*roles.CHECKS, *tables.CHECKS)),
    ("relay", relay.CHECKS),
    ("locks", locks.CHECKS),
    ("sizes", tables.SIZES),
)
KAFKA = (*topics.CHECKS, *group.CHECKS)
SETTINGS = configuration.CHECKS

_REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
_UNSUPPORTED = {own_code("UNSUPPORTED_FEATURE"), KafkaError.UNSUPPORTED_VERSION}
DATABASE_AWAY = (
    "Check DATABASE_URL, that the server runs, and that pg_hba.conf and firewalls let this machine in: pg_isready"
)
KAFKA_AWAY = "Check KAFKA_BOOTSTRAP_SERVERS, KAFKA_SECURITY_PROTOCOL and the brokers' advertised.listeners."
STYLES: dict[Level, str] = {"ok": "green", "note": "cyan", "warning": "yellow", "problem": "bold red"}
PATIENCE = click.FloatRange(0, 86_400)


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--patience",
    type=PATIENCE,
    default=60.0,
    show_default=True,
    help="Seconds that a transaction may be open before it is a finding.",
)
def command(*, as_json: bool, patience: float) -> None:
    """Look for what is wrong, or soon will be, and say what to do.

    Reads the settings as every process does, asks the database and Kafka, and changes nothing. The exit code is
    0 when there are only notes, 1 for warnings and problems, 2 for wrong settings.
    """
    results: list[Result] = []
    with answering() as settings:
        for family, group in groupby(examine(settings, patience), lambda result: result.family):
            members = list(group)
            results += members
            if not as_json:  # one table per subject, as soon as it is known
                show(Text(family, style="bold"), table(members))
    found = counts(results)
    if as_json:
        told = [{"family": one.family, "check": one.check, **asdict(one.finding)} for one in results]
        click.echo(json.dumps({"counts": found, "findings": told}))
    else:
        troubles = [count(found[level], level) for level in ("problem", "warning", "note")]
        show(Text(", ".join([*troubles, f"{found['ok']} ok"])))
    raise SystemExit(1 if any(found[level] for level in TROUBLE) else 0)


def table(results: Iterable[Result]) -> Table:
    """Return a line per finding, and one below it that says what to do."""
    return findings(
        Line(f"  {one.level}", STYLES[one.level], check, one.text, one.advice, "bold" if one.level in TROUBLE else "")
        for check, one in ((result.check, result.finding) for result in results)
    )


def counts(results: Iterable[Result]) -> dict[str, int]:
    """Return how many findings of each level there are, the worst first."""
    by_level = Counter(result.finding.level for result in results)
    return {level: by_level[level] for level in reversed(get_args(Level))}


def examine(settings: Settings, patience: float) -> Iterator[Result]:
    """Look at everything; `patience` is how old, in seconds, a transaction may be before it is a finding."""
    settings, stored = yield from _examine_database(settings, patience)
    yield from _examine_kafka(settings, stored)
    yield from run("settings", SETTINGS, configuration.read_configuration(settings))


def run(family: str, checks: Iterable[Check[Subject]], subject: Subject) -> Iterator[Result]:
    """Every finding of these checks; a check that is not answered becomes one."""
    for check in checks:
        try:
            findings = list(check.look(subject))
        except PostgresError as error:
            if isinstance(subject, Database) and subject.connection.closed:
                raise
            findings = [note(f"not told: {reason(error)}")]
        except KafkaException as error:
            findings = [_untold(error)]
        except UntoldError as error:
            findings = [note(str(error))]
        yield from (Result(family, check.name, finding) for finding in findings)


def _examine_database(settings: Settings, patience: float) -> Generator[Result, None, tuple[Settings, Stored | None]]:
    """Returns the settings, with the group that is the instance's, and what it remembers of Kafka."""
    stored = None
    try:
        with closing(connect_to_look(settings, NAME)) as connection:
            database = Database(settings, connection, patience)
            yield from run("database", SERVER, database)
            if tables.revision_of(database) is not None:
                for family, checks in TABLES:
                    yield from run(family, checks, database)
                stored = load_stored(database)
                with suppress(UnfitError):  # the checks before have said so
                    settings = identified(settings, connection)  # as every process does
    except PostgresError as error:
        away = problem(f"the database does not answer: {first_line(error)}", DATABASE_AWAY)
        yield Result("database", "connection", away)
    return settings, stored


def load_stored(database: Database) -> Stored | None:
    """What the database remembers of Kafka; None before the first relay."""
    rows = database.ask("SELECT cluster_id, topic_ids FROM relay_cursor WHERE name = 'relay'")
    return Stored(rows[0]["cluster_id"], rows[0]["topic_ids"]) if rows else None


def _examine_kafka(settings: Settings, stored: Stored | None) -> Iterator[Result]:
    kafka = Kafka(settings, stored)
    try:
        _ = kafka.metadata  # asks for it
    except KafkaException as error:
        away = problem(f"Kafka at {settings.kafka_bootstrap_servers} does not answer: {explanation(error)}", KAFKA_AWAY)
        yield Result("kafka", "brokers", away)
        return
    yield from run("kafka", KAFKA, kafka)


def _untold(error: KafkaException) -> Finding:
    number, said = code(error), explanation(error)
    if number in _UNSUPPORTED:
        return note(f"not told by this broker: {said}")
    if number in _REFUSED:
        return warning(f"not allowed to ask: {said}", "docs/operating.md says what Herald must be allowed to do.")
    return warning(f"no answer: {said}", "Run it again; if it stays, see the brokers' logs.")
