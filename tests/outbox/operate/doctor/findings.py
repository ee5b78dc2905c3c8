"""Findings of one check, and what their advice says."""

import re
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

from herald.outbox.operate.doctor.command import KAFKA, SERVER, TABLES, load_stored
from herald.outbox.operate.doctor.database import NAME, Database
from herald.outbox.operate.doctor.finding import Finding, run
from herald.outbox.operate.doctor.kafka import Kafka
from herald.outbox.operate.opening import connect_to_look
from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.statements import execute
from tests.outbox.connections import make_settings

NOBODY = "127.0.0.1:1"  # a port without a listener
NO_DATABASE = f"postgresql://nobody@{NOBODY}/x"
_STATEMENT = re.compile(r"\b((?:ALTER|DROP|GRANT|REINDEX|REVOKE|ROLLBACK|SELECT|SET|VACUUM)\b [^;]*);")


@contextmanager
def subject(url: str, *, patience: float = 60.0, **settings: Any) -> Iterator[Database]:
    made = make_settings(url, **settings)
    with closing(connect_to_look(made, NAME)) as connection:
        yield Database(made, connection, patience)


def look(url: str, check: str, *, patience: float = 60.0, **settings: Any) -> list[Finding]:
    """What this check of the database finds."""
    (look,) = (checks[check] for checks in (SERVER, *TABLES.values()) if check in checks)
    with subject(url, patience=patience, **settings) as database:
        return [finding for *_, finding in run("", {check: look}, database)]


def look_once(url: str, check: str, **settings: Any) -> Finding:
    """The same, of a check that finds one thing."""
    (found,) = look(url, check, **settings)
    return found


def look_at_kafka(
    kafka: str, check: str, *, database: str = f"postgresql://nobody@{NOBODY}/x", **settings: Any
) -> list[Finding]:
    """What this check of Kafka finds."""
    made, stored = make_settings(database, KAFKA_BOOTSTRAP_SERVERS=kafka, **settings), None
    if database != NO_DATABASE:
        with subject(database) as known:
            stored = load_stored(known)
    return [finding for *_, finding in run("kafka", {check: KAFKA[check]}, Kafka(made, stored))]


def statements(advice: str | None) -> list[str]:
    """The statements of SQL in an advice."""
    assert advice
    found = _STATEMENT.findall(advice)
    assert found, advice
    return [str(statement) for statement in found]


def follow(url: str, finding: Finding) -> None:
    """Do what it says, one statement after the other, as psql does."""
    with closing(connect_plainly(url)) as connection:
        connection.autocommit = True
        for statement in statements(finding.advice):
            execute(connection, statement)
