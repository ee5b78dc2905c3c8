"""All checks, in their order: what one subject does not tell hides nothing of the others."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import closing

from confluent_kafka import KafkaError, KafkaException

from herald.outbox.kafka.clients import code, explanation
from herald.outbox.operate.doctor import group, locks, relay, roles, server, session, sizes, tables, topics
from herald.outbox.operate.doctor import settings as configuration
from herald.outbox.operate.doctor.database import Database, open_connection
from herald.outbox.operate.doctor.finding import Check, Finding, Result, Subject, note, problem, warning
from herald.outbox.operate.doctor.kafka import Kafka, Stored
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
    ("sizes", sizes.CHECKS),
)
KAFKA = (*topics.CHECKS, *group.CHECKS)
SETTINGS = configuration.CHECKS

_REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}
_UNSUPPORTED = {KafkaError._UNSUPPORTED_FEATURE, KafkaError.UNSUPPORTED_VERSION}  # noqa: SLF001 - librdkafka's name


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
        yield from (Result(family, check.name, finding) for finding in findings)


def _examine_database(settings: Settings, patience: float) -> Generator[Result, None, tuple[Settings, Stored | None]]:
    """Returns the settings, with the group that is the instance's, and what it remembers of Kafka."""
    stored = None
    try:
        with closing(open_connection(settings)) as connection:
            database = Database(settings, connection, patience)
            yield from run("database", SERVER, database)
            if tables.revision_of(database) is not None:
                for family, checks in TABLES:
                    yield from run(family, checks, database)
                stored = load_stored(database)
                settings = _know_group(database)
    except PostgresError as error:
        yield Result("database", "connection", _away(error))
    return settings, stored


def load_stored(database: Database) -> Stored | None:
    """What the database remembers of Kafka; None before the first relay."""
    rows = database.ask("SELECT cluster_id, topic_ids FROM relay_cursor WHERE name = 'relay'")
    return Stored(rows[0]["cluster_id"], rows[0]["topic_ids"]) if rows else None


def _know_group(database: Database) -> Settings:
    """As every process does; where it cannot be read, the checks before have said so."""
    try:
        return identified(database.settings, database.connection)
    except UnfitError:
        return database.settings


def _away(error: PostgresError) -> Finding:
    lines = reason(error).splitlines()
    return problem(
        f"the database does not answer: {lines[0] if lines else type(error).__name__}",
        "Check DATABASE_URL, that the server runs, and that pg_hba.conf and firewalls let this machine in: pg_isready",
    )


def _examine_kafka(settings: Settings, stored: Stored | None) -> Iterator[Result]:
    kafka = Kafka(settings, stored)
    try:
        kafka.metadata  # noqa: B018 - asks for it
    except KafkaException as error:
        yield Result(
            "kafka",
            "brokers",
            problem(
                f"Kafka at {settings.kafka_bootstrap_servers} does not answer: {explanation(error)}",
                "Check KAFKA_BOOTSTRAP_SERVERS, KAFKA_SECURITY_PROTOCOL and the brokers' advertised.listeners.",
            ),
        )
        return
    yield from run("kafka", KAFKA, kafka)


def _untold(error: KafkaException) -> Finding:
    number = code(error)
    if number in _UNSUPPORTED:
        return note(f"not told by this broker: {explanation(error)}")
    if number in _REFUSED:
        return warning(
            f"not allowed to ask: {explanation(error)}", "docs/operating.md says what Herald must be allowed to do."
        )
    return warning(f"no answer: {explanation(error)}", "Run it again; if it stays, see the brokers' logs.")
