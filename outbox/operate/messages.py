"""`herald send`, `list`, `cancel` and `again`: messages of any topic, directly on the database."""

from contextlib import closing
from datetime import datetime
from uuid import UUID

import msgspec
import rich_click as click

from herald.outbox.message.payload import PayloadError, check_json
from herald.outbox.message.state import STATUSES
from herald.outbox.moves.cancel import cancel
from herald.outbox.moves.send_again import send_again
from herald.outbox.operate.opening import (
    UNUSABLE,
    answering,
    connect_to_look,
    date,
    desk,
    end,
    first_line,
    given_json,
    person,
)
from herald.outbox.operate.shown import listed, show
from herald.outbox.postgres.driver import PostgresError
from herald.outbox.postgres.paging import QUEUES
from herald.outbox.postgres.statements import fetch_named, fetch_value

NAME = "herald-messages"
IN_USE = "ZH409"  # SQLSTATE; all others of the class mean that the input has to change
SEND = "SELECT send(%(topic)s, %(data)s::json, %(key)s, %(options)s::jsonb)::text"
_LIST = """
SELECT m.id::text, m.status, m.topic, m.key, m.event, m.attempts, m.accepted_at, m.updated_at, m.due_at, m.deliver_by,
       m.reason, m.reason_code, m.again_of::text
FROM messages AS m WHERE {conditions} ORDER BY m.id DESC LIMIT %(limit)s
"""
_SHOWN = ("id", "status", "topic", "key", "event", "attempts", "accepted_at", "reason")


@click.command("send")
@click.argument("topic")
@click.option("--data", type=given_json, required=True, help="A JSON object; or @FILE, or - for standard input.")
@click.option("--key", help="Messages of one key leave in order.")
@click.option("--deliver-at", type=date, help="Not before then.")
@click.option("--deliver-by", type=date, help="Not after then.")
@click.option("--priority", type=click.IntRange(0, 9), help="9 first.  [default: 5]")
@click.option("--idempotency-key", help="Sent once, however often it is sent with this key.")
def send_command(topic: str, *, data: bytes, key: str | None, **options: datetime | int | str | None) -> None:
    """Send a message on TOPIC, and print its id.

    It is what the function `send` of the database does: docs/your-transaction.md. Dates and priority of a notification
    stand in its data.
    """
    given = {**{name: value for name, value in options.items() if value is not None}, "actor": person()}
    values = {"topic": topic, "key": key, "options": msgspec.json.encode(given).decode()}
    with desk(NAME) as (settings, connection):
        try:
            check_json(data, max_bytes=settings.max_body)
            message = fetch_value(connection, SEND, {**values, "data": data.decode()})
        except PayloadError as error:
            end(f"{error.field.replace('$', 'data', 1)}: {error}", UNUSABLE)
        except PostgresError as error:
            if not (error.pgcode or "").startswith("ZH"):
                raise
            end(first_line(error), 1 if error.pgcode == IN_USE else UNUSABLE)
    click.echo(message)


@click.command("list")
@click.option("--topic", help="Only with this topic.")
@click.option("--key", help="Only with this key; that of a notification is its user_id.")
@click.option("--event", help="Only with this event.")
@click.option("--status", type=click.Choice(STATUSES), help="Only in this status.")
@click.option("--before", type=click.UUID, help="Only those older than the one of this id.")
@click.option("--limit", type=click.IntRange(1, 1000), default=50, show_default=True, help="Lines at most.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def list_command(*, limit: int, as_json: bool, **filters: str | UUID | None) -> None:
    """List messages, newest first, without what they carry."""
    given = {name: str(value) for name, value in filters.items() if value is not None}
    conditions = ["true", *(f"m.{name} = %({name})s" for name in given if name != "before")]
    if "before" in given:
        conditions.append("m.id < %(before)s::uuid")
    if queue := QUEUES.get(given.get("status", "")):
        conditions.append(f"m.id IN (SELECT q.id FROM {queue} AS q)")
    query = _LIST.format(conditions=" AND ".join(conditions))
    with answering() as settings, closing(connect_to_look(settings, NAME)) as connection:
        rows = fetch_named(connection, query, {**given, "limit": limit})
    if as_json:
        click.echo(msgspec.json.encode(rows).decode())
    else:
        show(listed([name.replace("_", " ") for name in _SHOWN], ([row[name] for name in _SHOWN] for row in rows)))


@click.command("cancel")
@click.argument("messages", type=click.UUID, nargs=-1, required=True)
def cancel_command(messages: tuple[UUID, ...]) -> None:
    """Take the MESSAGES back of which no attempt has begun."""
    with desk(NAME) as (_, connection):
        found = {message: cancel(connection, message, actor=person()) for message in messages}
    kept = {message: standing.refusal if standing else "no such message" for message, standing in found.items()}
    refused = [f"{message}: {why}" for message, why in kept.items() if why]
    click.echo(f"{len(found) - len(refused)} cancelled")
    if refused:
        end("\n".join(refused))


@click.command("again")
@click.argument("message", type=click.UUID)
def again_command(message: UUID) -> None:
    """Send MESSAGE, which is over, again: as a new one, whose id is printed.

    It carries what the first carried last, leaves at once and has no deadline.
    """
    with desk(NAME) as (_, connection):
        found = send_again(connection, message, actor=person())
        if found is None:
            end(f"no message has the id {message}")
        if found.id is None:
            end(f"{message}: {found.refusal}")
    click.echo(found.id)
