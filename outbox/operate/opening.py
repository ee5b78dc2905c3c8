"""How every command of an operator opens, what its options may be, and with which code it ends."""

import getpass
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import NoReturn

import msgspec
import rich_click as click
from confluent_kafka import KafkaException

from herald.outbox.desk.filters import Filter
from herald.outbox.kafka.clients import explanation
from herald.outbox.message.dates import DateError, in_utc
from herald.outbox.postgres.connections import connect, connect_anywhere, reason
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.fitness import NOTHING
from herald.outbox.settings import Settings, SettingsError, load_settings
from herald.outbox.stopping import stop_on_signals

UNUSABLE = 2  # exit code: settings, options or input that nothing can be done with
PATIENCE = 5.0  # seconds to connect, and for each question of those who only look
MAX_REASON = 500  # characters, as the API takes it


@contextmanager
def answering(*refusals: type[Exception], code: int = 1) -> Iterator[Settings]:
    """The settings. Ends the process with 2 where they are wrong, with `code` for a refusal or a server's silence."""
    try:
        settings = load_settings()
    except SettingsError as error:
        end(str(error), UNUSABLE)
    try:
        yield settings
    except refusals as error:
        end(str(error), code)
    except PostgresError as error:
        end(f"the database does not answer: {str(error).strip()}", code)
    except KafkaException as error:
        end(f"Kafka at {settings.kafka_bootstrap_servers} does not answer: {explanation(error)}", code)


@contextmanager
def desk(name: str, *refusals: type[Exception]) -> Iterator[tuple[Settings, Connection]]:
    """The settings and a connection of this name, for a person's decisions; commits at the end."""
    with answering(*refusals) as settings, closing(connect(settings, name)) as connection:
        yield settings, connection
        connection.commit()


def connect_to_look(settings: Settings, name: str) -> Connection:
    """Wherever it leads, in autocommit and with little patience. Raises OperationalError."""
    patient = settings.model_copy(update={"connect_timeout": PATIENCE, "statement_timeout": PATIENCE})
    connection = connect_anywhere(patient, name, checks=NOTHING)
    connection.autocommit = True
    return connection


def first_line(error: PostgresError) -> str:
    """What went wrong, without what the driver and libpq say around it."""
    return (reason(error).splitlines() or [type(error).__name__])[0]


def end(text: str, code: int = 1) -> NoReturn:
    """End the process, and say why on standard error."""
    click.echo(text, err=True)
    sys.exit(code)


def person() -> str:
    """Who decides, as events call it."""
    return f"cli:{getpass.getuser()}@{socket.gethostname()}"


def given_json(given: str) -> bytes:
    """An option's JSON: as it stands, of the file after `@`, or of standard input for `-`. Raises BadParameter."""
    try:
        if given == "-":
            return sys.stdin.buffer.read()
        return Path(given[1:]).read_bytes() if given.startswith("@") else os.fsencode(given)
    except OSError as error:
        message = f"{given[1:]} cannot be read: {error.strerror}"
        raise click.BadParameter(message) from None


def stop_told() -> threading.Event:
    """Set by SIGTERM and SIGINT from now on."""
    stop = threading.Event()
    stop_on_signals(stop)
    return stop


def date(given: str) -> datetime:
    """An option's date; without a time zone it is UTC. Raises BadParameter."""
    try:
        found = datetime.fromisoformat(given)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else in_utc("date", found)
    except DateError as error:
        problem = str(error)
    except ValueError:
        problem = "is no date such as 2026-12-01T09:00:00+01:00"
    message = f"{given} {problem}"
    raise click.BadParameter(message)


def text(given: str) -> str:
    """An option's reason, as long as the API takes it. Raises BadParameter."""
    if 0 < len(given) <= MAX_REASON:
        return given
    message = f"{len(given)} characters, it takes 1 to {MAX_REASON}"
    raise click.BadParameter(message)


def filtered(command: Callable[..., None]) -> Callable[..., None]:
    """The options of a filter; the command gets a Filter, which is empty where it gets names."""

    @wraps(command)  # the options given below this one are attributes of the function
    def wrapped(**given: object) -> None:
        names = Filter.__struct_fields__
        chosen = _filter({name: given[name] for name in names if given[name] is not None})
        if given.get("messages") and chosen != Filter():
            raise click.UsageError("either MESSAGES by their ids or options that say which, not both")
        command(chosen=chosen, **{name: value for name, value in given.items() if name not in names})

    for name in ("topic", "channel", "destination", "error", "event", "key"):
        wrapped = click.option(f"--{name}", help=f"Only with this {name}.")(wrapped)
    wrapped = click.option("--status", type=click.Choice(["dead", "unknown"]), help="Only in this status.")(wrapped)
    wrapped = click.option("--since", type=date, help="Only what came onto the desk since then.")(wrapped)
    return click.option("--until", type=date, help="Only what came onto the desk before then.")(wrapped)


def _filter(given: dict[str, object]) -> Filter:
    try:
        return msgspec.convert(given, Filter)
    except msgspec.ValidationError as error:
        detail, _, path = str(error).partition(" - at `$.")
        raise click.BadParameter(detail, param_hint=f"--{path.rstrip('`')}") from None
