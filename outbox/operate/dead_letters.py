"""`herald dead-letters`: the desk on the command line, directly on the database."""

import threading
from collections.abc import Sequence
from functools import partial
from operator import attrgetter
from uuid import UUID

import msgspec
import rich_click as click
from rich.table import Table

from herald.outbox.desk.editing import EditError, checked_edit
from herald.outbox.desk.filters import Filter
from herald.outbox.desk.jobs import Job, find_job, make_job
from herald.outbox.desk.looking import (
    DeadLetter,
    Group,
    choose,
    count_dead_letters,
    find_dead_letter,
    list_dead_letters,
    list_groups,
)
from herald.outbox.message.events import Recorded
from herald.outbox.moves.decide import MOST_AT_ONCE, Edit, discard, requeue
from herald.outbox.operate.opening import UNUSABLE, desk, end, filtered, given_json, person, text
from herald.outbox.operate.shown import day_and_time, fields, in_words, listed, show, shown_steps
from herald.outbox.postgres.connections import read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import read_stream

NAME = "herald-dead-letters"
POLL = 0.5  # seconds between two looks at a job
SHOWN_ONCE = ("data", "topic", "key")  # beside its history: what a message carries
RATE = click.FloatRange(0, 10_000, min_open=True)


@click.group("dead-letters")
def command() -> None:
    """Look at what was given up, and decide: try again, edit, or discard.

    Reads DATABASE_URL. Decisions about many change nothing until --yes is given.
    """


@command.command("list")
@filtered
@click.option("--all", "is_single", is_flag=True, help="One line for each, instead of groups by error.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Lines with --all.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_command(chosen: Filter, *, is_single: bool, limit: int, as_json: bool) -> None:
    """List dead letters, grouped by error."""
    with desk(NAME) as (_, connection):
        letters, _ = list_dead_letters(connection, chosen, limit=limit) if is_single else ([], False)
        groups = [] if is_single else list_groups(connection, chosen)
    if as_json:
        click.echo(msgspec.json.encode(letters or groups).decode())
    else:
        show(letters_table(letters) if is_single else groups_table(groups))


@command.command("show")
@click.argument("message", type=click.UUID)
def show_command(message: UUID) -> None:
    """Show one, with its history."""
    with desk(NAME) as (_, connection):
        click.echo(letter_text(_found(connection, message), read_stream(connection, message)))


@command.command("requeue")
@click.argument("messages", type=click.UUID, nargs=-1)
@filtered
@click.option("--rate", type=RATE, help="Per second.  [default: HERALD_REQUEUE_RATE]")
@click.option("--yes", "is_meant", is_flag=True, help="Do it; without this, many are only counted.")
@click.option("--wait", "is_waiting", is_flag=True, help="Show the progress until it is done.")
def requeue_command(
    chosen: Filter, *, messages: tuple[UUID, ...], rate: float | None, is_meant: bool, is_waiting: bool
) -> None:
    """Try again: the MESSAGES named, or all that fit the options.

    The relay that leads works many off, at a rate.
    """
    with desk(NAME) as (settings, connection):
        if messages:
            _tell(connection, "requeued", messages, requeue(connection, messages, actor=person()))
            return
        if not is_meant:
            _dry_run(connection, chosen, "requeued")
            return
        job = make_job(connection, chosen, rate=rate or settings.requeue_rate, actor=person())
        connection.commit()
        click.echo(f"job {job.id}: {job.total} messages at {job.rate:g} per second")
        if is_waiting:
            _watch(connection, job)


@command.command("edit")
@click.argument("message", type=click.UUID)
@click.option("--data", type=given_json, required=True, help="The new JSON; or @FILE, or - for standard input.")
def edit_command(message: UUID, data: bytes) -> None:
    """Try one again with other data; it is checked like any input, and the edit is in the log."""
    with desk(NAME) as (settings, connection):
        found = _found(connection, message)
        try:
            new, key = checked_edit(found.topic, found.key, data, settings)
        except EditError as error:
            end(str(error), UNUSABLE)
        done = requeue(connection, [message], edit=Edit(msgspec.Raw(new), key), actor=person())
        _tell(connection, "requeued", (message,), done)


@command.command("discard")
@click.argument("messages", type=click.UUID, nargs=-1)
@filtered
@click.option("--reason", type=text, required=True, help="Why; it is in the log.")
@click.option("--yes", "is_meant", is_flag=True, help="Do it; without this, many are only counted.")
def discard_command(chosen: Filter, *, messages: tuple[UUID, ...], reason: str, is_meant: bool) -> None:
    """Give up for good: the MESSAGES named, or all that fit the options."""
    with desk(NAME) as (_, connection):
        if messages:
            _tell(connection, "discarded", messages, discard(connection, messages, reason=reason, actor=person()))
            return
        if not is_meant:
            _dry_run(connection, chosen, "discarded")
            return
        gone, begin = 0, read_clock(connection).isoformat()  # what dies meanwhile, nobody has looked at
        give_up = partial(discard, connection, reason=reason, actor=person())
        while batch := give_up(choose(connection, chosen, limit=MOST_AT_ONCE, before=begin)):
            connection.commit()
            gone += len(batch)
        click.echo(f"{gone} discarded")


def _dry_run(connection: Connection, chosen: Filter, what: str) -> None:
    show(groups_table(list_groups(connection, chosen)))
    click.echo(f"{count_dead_letters(connection, chosen)} would be {what}; nothing was changed. --yes does it")


def _tell(connection: Connection, what: str, messages: tuple[UUID, ...], done: list[UUID]) -> None:
    connection.commit()  # first: the exit below would roll back what was just said to be done
    click.echo(f"{len(done)} {what}")
    if missing := [str(one) for one in messages if one not in done]:
        end(f"not on the desk: {', '.join(missing)}")


def _found(connection: Connection, message: UUID) -> DeadLetter:
    return find_dead_letter(connection, message) or end(f"not on the desk: {message}")


def _watch(connection: Connection, job: Job) -> None:
    found: Job | None = job
    pause = threading.Event()
    with shown_steps() as steps:
        tell = steps("requeued", total=job.total)
        while found and found.status == "running":
            pause.wait(POLL)
            found = find_job(connection, job.id)
            connection.commit()
            tell(found.done if found else job.total)
    click.echo(f"{found.done} requeued, {found.status}" if found else "0 requeued, gone")


def groups_table(groups: Sequence[Group]) -> Table:
    """By error, the largest first."""
    names = ("count", "status", "topic", "channel", "newest", "error", "sample")
    return listed(names, map(attrgetter(*names), groups))


def letters_table(letters: Sequence[DeadLetter]) -> Table:
    """One line for each."""
    cells = attrgetter("id", "status", "topic", "key", "attempts", "updated_at", "reason")
    return listed(("id", "status", "topic", "key", "attempts", "since", "reason"), map(cells, letters))


def letter_text(letter: DeadLetter, history: Sequence[Recorded]) -> str:
    """One, with its data and its history."""
    lines = [
        f"id           {letter.id}",
        f"status       {letter.status}",
        f"reason       {letter.reason or '-'}",
        f"topic, key   {letter.topic}, {letter.key or '-'}",
        f"destination  {letter.destination or '-'}",
        f"attempts     {letter.attempts}",
        f"data         {msgspec.json.format(bytes(letter.data), indent=2).decode()}",
        "history",
    ]
    return "\n".join([*lines, *map(_event, history)])


def _event(recorded: Recorded) -> str:
    told = in_words(fields(recorded.event, without=SHOWN_ONCE))
    name = recorded.event.TYPE.removeprefix("message.")
    return f"  {recorded.version:>3}  {day_and_time(recorded.recorded_at)}  {name:<13} {told}".rstrip()
