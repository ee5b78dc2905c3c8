"""`herald history`: everything that happened to a message, and how it stood at any time."""

import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import datetime
from typing import Any
from uuid import UUID

import msgspec
import rich_click as click
from rich.console import Console
from rich.table import Table

from herald.outbox.message.events import Recorded
from herald.outbox.message.state import Message, fold
from herald.outbox.operate.date_option import Date
from herald.outbox.postgres.connections import connect_anywhere
from herald.outbox.postgres.driver import PostgresError
from herald.outbox.postgres.fitness import NOTHING
from herald.outbox.postgres.log import UnknownEventError, read_stream
from herald.outbox.settings import Settings, SettingsError, load_settings

_BARE: dict[str, Any] = {"box": None, "padding": (0, 2, 0, 0), "header_style": "bold"}


@click.command("history")
@click.argument("message", type=click.UUID)
@click.option("--at", type=Date(), help="How it stood at that time; later events are left out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(message: UUID, *, at: datetime | None, as_json: bool) -> None:
    """Show the events of a message, and its state as they add up to.

    MESSAGE is its id. The state is folded from the log, not read from the table `messages`.
    """
    try:
        stream = _read(load_settings(), message)
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except UnknownEventError as error:
        click.echo(str(error), err=True)
        sys.exit(1)
    except PostgresError as error:
        click.echo(f"the database does not answer: {str(error).strip()}", err=True)
        sys.exit(1)
    events = _until(message, stream, at)
    state = fold(events)
    if as_json:
        click.echo(machine_form(events, state))
        return
    show(events, state, left_out=len(stream) - len(events))


def machine_form(events: Sequence[Recorded], state: Message) -> str:
    """Both as JSON; `data` is as it is stored."""
    told = [
        {"version": one.version, "type": one.event.TYPE, "recorded_at": one.recorded_at, "event": one.event}
        for one in events
    ]
    return msgspec.json.encode({"events": told, "state": state}).decode()


def show(events: Sequence[Recorded], state: Message, *, left_out: int) -> None:
    """Both as tables, on standard output."""
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
    console.print(_events_table(events))
    if left_out:
        console.print(f"{left_out} later left out")
    console.print()
    console.print(_state_table(state))


def _read(settings: Settings, message: UUID) -> list[Recorded]:
    with closing(connect_anywhere(settings, "herald-history", checks=NOTHING)) as connection:
        return read_stream(connection, message)


def _until(message: UUID, stream: list[Recorded], at: datetime | None) -> list[Recorded]:
    """The events up to then. Ends the process with 1 where there are none."""
    events = [one for one in stream if at is None or one.recorded_at <= at]
    if events:
        return events
    if stream:
        click.echo(f"{message} began later, at {stream[0].recorded_at.isoformat()}", err=True)
    else:
        click.echo(f"no message has the id {message}", err=True)
    sys.exit(1)


def _events_table(events: Sequence[Recorded]) -> Table:
    table = Table(**_BARE)
    for name in ("version", "recorded at", "event", "fields"):
        table.add_column(name, overflow="fold")
    for one in events:
        told = ", ".join(f"{name} {text}" for name, text in _fields(one.event))
        kind = one.event.TYPE.removeprefix("message.")
        table.add_row(str(one.version), one.recorded_at.isoformat(" "), kind, told)
    return table


def _state_table(state: Message) -> Table:
    table = Table(**_BARE, show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, text in _fields(state):
        table.add_row(name, text)
    return table


def _fields(struct: msgspec.Struct) -> list[tuple[str, str]]:
    """What is set, as text."""
    return [(name, _text(value)) for name, value in msgspec.structs.asdict(struct).items() if value is not None]


def _text(value: object) -> str:
    if isinstance(value, msgspec.Raw):
        return bytes(value).decode()
    return value.isoformat(" ") if isinstance(value, datetime) else str(value)
