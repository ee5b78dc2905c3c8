"""`herald set-aside`: the rows of the log that could not be published, on the command line."""

import threading
from collections.abc import Mapping, Sequence
from uuid import UUID

import msgspec
import rich_click as click

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
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.message.events import Requested
from herald.outbox.operate.opening import desk, end, person, text
from herald.outbox.operate.replay.replaying import Replayer
from herald.outbox.operate.shown import day_and_time, listed, show
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.instance import identified
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.errors import FatalProducerError, PublishError
from herald.outbox.relay.reader import Place, Row, read_places, split_large
from herald.outbox.relay.unpublishable import why_unpublishable
from herald.outbox.settings import Settings

NAME = "herald-set-aside"
MOST_ERROR = 120  # characters in a table
Event = tuple[UUID, int | None]
_PLACE = """
SELECT position, stream_id::text, version, coalesce(size, 0) FROM outbox WHERE stream_id = %s AND version = %s
"""


def event_name(given: str) -> Event:
    """As records call it: the message's id, a dot and a version; all that is set aside of it without one."""
    stream, _, version = given.partition(".")
    try:
        return UUID(stream), int(version) if version else None
    except ValueError:
        message = f"{given!r} is not an id like 01a2…e4.1"
        raise click.BadParameter(message) from None


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
    with desk(NAME) as (_, connection):
        found = list_aside(connection, limit=limit, is_all=is_all)
    if as_json:
        click.echo(msgspec.json.encode(found).decode())
    else:
        show(listed(("id", "topic", "reason", "since", "message", "decision", "error"), map(_cells, found)))


@command.command("show")
@click.argument("event", type=event_name)
def show_command(event: Event) -> None:
    """Show one, with what can be read of it."""
    with desk(NAME) as (_, connection):
        for row in _found(connection, event):
            click.echo(aside_text(row, readable_columns(connection, row)))


@command.command("discard")
@click.argument("events", type=event_name, nargs=-1, required=True)
@click.option("--reason", "because", type=text, required=True, help="Why; it is kept.")
def discard_command(events: tuple[Event, ...], *, because: str) -> None:
    """Give them up for good. A message that waits for it ends as discarded, with the reason in the log."""
    with desk(NAME) as (_, connection):
        for row in _undecided(connection, events):
            discard_aside(connection, row, Decision(person(), because))
            connection.commit()
            click.echo(f"discarded {row.name}")


@command.command("publish")
@click.argument("events", type=event_name, nargs=-1, required=True)
@click.option("--reason", "because", type=text, help="Why; it is kept.")
def publish_command(events: tuple[Event, ...], *, because: str | None) -> None:
    """Publish them after all, once what was in the way is mended.

    A message that waits for it is requested again: the relay publishes that, or sets it aside anew. Of anything
    else the record itself is published.
    """
    decision = Decision(person(), because)
    with desk(NAME) as (settings, connection):
        for row in _undecided(connection, events):
            if request_aside(connection, row, decision):
                connection.commit()
                click.echo(f"requested again: {row.stream_id}")
                continue
            publish_row(connection, settings, row)
            note_published(connection, row, decision)
            connection.commit()
            click.echo(f"published {row.name}")


def _undecided(connection: Connection, events: tuple[Event, ...]) -> list[AsideRow]:
    found = [row for event in events for row in _found(connection, event)]
    for row in found:
        if row.decision is not None:
            end(f"{row.name} was {row.decision} by {row.decided_by}")
    return found


def _found(connection: Connection, event: Event) -> list[AsideRow]:
    """Ends the process with 1 where there is none."""
    stream, version = event
    name = f"{stream}{'' if version is None else f'.{version}'}"
    return find_aside(connection, stream, version) or end(f"not set aside: {name}")


def _cells(one: AsideRow) -> Sequence[object]:
    decision = one.decision and f"{one.decision} by {one.decided_by}"
    error = one.error if len(one.error) <= MOST_ERROR else f"{one.error[:MOST_ERROR]}…"
    return one.name, one.topic, one.reason, one.since, one.status or "none", decision, error


def aside_text(row: AsideRow, columns: Mapping[str, str]) -> str:
    """One, with what can be read of it."""
    lines = [
        f"id           {row.name}",
        f"set aside    {day_and_time(row.since)}, {row.reason}",
        f"error        {row.error}",
        f"message      {row.status or 'none'}{', which waits for it' if row.waits else ''}",
        f"position     {row.position}",
        *(f"{name:<12} {text}" for name, text in columns.items()),
    ]
    if row.decision is not None and row.decided_at is not None:
        because = f": {row.decided_because}" if row.decided_because else ""
        lines.append(f"decision     {row.decision} by {row.decided_by}, {day_and_time(row.decided_at)}{because}")
    return "\n".join(lines)


def publish_row(connection: Connection, settings: Settings, row: AsideRow) -> None:
    """Publish its record, and wait until Kafka has it; ends the process with 1 where that cannot be.

    Raises PostgresError.
    """
    if row.type == Requested.TYPE and row.status is not None:
        end(f"{row.name} asks for a message that is {row.status} by now: there is nothing to publish")
    record = _read(connection, row)
    if why := why_unpublishable(record, TopicNames(settings.topic_prefix).on_kafka(record[3])):
        end(f"{row.name} cannot be published: {why}")
    replayer = Replayer(identified(settings, connection), rate=None, stop=threading.Event())
    try:
        replayer.run([[record]], lambda _: None)
    except (PublishError, FatalProducerError) as error:
        end(f"{row.name} was not published: {error}")
    if replayer.published != 1:
        why = replayer.refused[0][1] if replayer.refused else "stopped before"
        end(f"{row.name} was not published: {why}")


def _read(connection: Connection, row: AsideRow) -> Row:
    places = fetch(connection, _PLACE, str(row.stream_id), row.version, into=Place)
    rows, large = split_large(read_places(connection, places))
    if large:
        end(f"{row.name} cannot be published: {large[0][1]}")
    if not rows:
        end(f"{row.name} has left the log with its partition")
    return rows[0]
