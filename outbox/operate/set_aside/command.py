"""`herald set-aside`: the rows of the log that could not be published, on the command line."""

import getpass
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any
from uuid import UUID

import msgspec
import rich_click as click
from confluent_kafka import KafkaException

from herald.outbox.desk.aside import (
    AsideRow,
    Decision,
    discard_aside,
    find_aside,
    list_aside,
    note_published,
    readable_columns,
    request_aside,
)
from herald.outbox.operate.dead_letters.options import Reason
from herald.outbox.operate.dead_letters.tables import aside_table, aside_text, print_table
from herald.outbox.operate.set_aside.publishing import UnpublishedError, publish_row
from herald.outbox.postgres.connections import connect, reason
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.settings import Settings, SettingsError, load_settings


class EventName(click.ParamType[tuple[UUID, int | None]]):
    """An event as records call it: the message's id, a dot and a version; all that is set aside of it without one."""

    name = "id"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[UUID, int | None]:  # noqa: ANN401 - click's signature
        """Fails for anything else."""
        stream, _, version = str(value).partition(".")
        try:
            return UUID(stream), int(version) if version else None
        except ValueError:
            self.fail(f"{value!r} is not an id like 01a2…e4.1", param, ctx)


@contextmanager
def _desk() -> Iterator[tuple[Settings, Connection]]:
    """The settings and a connection; commits at the end. Ends the process with 2 for settings, 1 for anything else."""
    try:
        settings = load_settings()
        with closing(connect(settings, "herald-set-aside")) as connection:
            yield settings, connection
            connection.commit()
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except (PostgresError, KafkaException, UnpublishedError) as error:
        click.echo(reason(error), err=True)
        sys.exit(1)


@click.group("set-aside")
def command() -> None:
    """Look at rows of the log that could not be published, and decide: publish, or discard.

    Reads DATABASE_URL; to publish what is no message's request, KAFKA_BOOTSTRAP_SERVERS too.
    """


@command.command("list")
@click.option("--all", "is_all", is_flag=True, help="Those too about which somebody has decided.")
@click.option("--limit", type=click.IntRange(1, 10_000), default=50, show_default=True, help="Lines at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_command(*, is_all: bool, limit: int, as_json: bool) -> None:
    """List them, the oldest first."""
    with _desk() as (_, connection):
        found = list_aside(connection, limit=limit, is_all=is_all)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
        return
    print_table(aside_table(found))


@command.command("show")
@click.argument("event", type=EventName())
def show_command(event: tuple[UUID, int | None]) -> None:
    """Show one, with what can be read of it."""
    with _desk() as (_, connection):
        for row in _found(connection, event):
            click.echo(aside_text(row, readable_columns(connection, row)))


@command.command("discard")
@click.argument("events", type=EventName(), nargs=-1, required=True)
@click.option("--reason", "because", type=Reason(), required=True, help="Why; it is kept.")
def discard_command(events: tuple[tuple[UUID, int | None], ...], *, because: str) -> None:
    """Give them up for good. A message that waits for it ends as discarded, with the reason in the log."""
    with _desk() as (_, connection):
        for row in _undecided(connection, events):
            discard_aside(connection, row, Decision(_person(), because))
            connection.commit()
            click.echo(f"discarded {row.name}")


@command.command("publish")
@click.argument("events", type=EventName(), nargs=-1, required=True)
@click.option("--reason", "because", type=Reason(), help="Why; it is kept.")
def publish_command(events: tuple[tuple[UUID, int | None], ...], *, because: str | None) -> None:
    """Publish them after all, once what was in the way is mended.

    A message that waits for it is requested again: the relay publishes that, or sets it aside anew. Of anything
    else the record itself is published.
    """
    decision = Decision(_person(), because)
    with _desk() as (settings, connection):
        for row in _undecided(connection, events):
            if request_aside(connection, row, decision):
                connection.commit()
                click.echo(f"requested again: {row.stream_id}")
                continue
            publish_row(connection, settings, row, threading.Event())
            note_published(connection, row, decision)
            connection.commit()
            click.echo(f"published {row.name}")


def _undecided(connection: Connection, events: tuple[tuple[UUID, int | None], ...]) -> list[AsideRow]:
    found = [row for event in events for row in _found(connection, event)]
    for row in found:
        if row.decision is not None:
            click.echo(f"{row.name} was {row.decision} by {row.decided_by}", err=True)
            sys.exit(1)
    return found


def _found(connection: Connection, event: tuple[UUID, int | None]) -> list[AsideRow]:
    """Ends the process with 1 where there is none."""
    found = find_aside(connection, *event)
    if not found:
        stream, version = event
        click.echo(f"not set aside: {stream}{'' if version is None else f'.{version}'}", err=True)
        sys.exit(1)
    return found


def _person() -> str:
    return f"cli:{getpass.getuser()}@{socket.gethostname()}"
