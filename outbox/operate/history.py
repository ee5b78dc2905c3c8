"""`herald history`: everything that happened to a message, and how it stood at any time."""

from contextlib import closing
from datetime import datetime
from uuid import UUID

import msgspec
import rich_click as click

from herald.outbox.message.state import fold
from herald.outbox.operate.opening import answering, connect_to_look, date, end
from herald.outbox.operate.shown import fields, in_words, listed, named, show
from herald.outbox.postgres.log import UnknownEventError, read_stream
from herald.outbox.postgres.statements import fetch_column

SENT_AGAIN = "SELECT unnest(sent_again(%s))::text"


@click.command("history")
@click.argument("message", type=click.UUID)
@click.option("--at", type=date, help="How it stood at that time; later events are left out.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(message: UUID, *, at: datetime | None, as_json: bool) -> None:
    """Show the events of a message, and its state as they add up to.

    MESSAGE is its id. The state is folded from the log, not read from the table `messages`.
    """
    with answering(UnknownEventError) as settings, closing(connect_to_look(settings, "herald-history")) as connection:
        stream = read_stream(connection, message)
        again = fetch_column(connection, SENT_AGAIN, str(message))
    events = [one for one in stream if at is None or one.recorded_at <= at]
    if not events:
        began = f"{message} began later, at {stream[0].recorded_at.isoformat()}" if stream else None
        end(began or f"no message has the id {message}")
    state = fold(events)
    if as_json:
        told = [
            {"version": one.version, "type": one.event.TYPE, "recorded_at": one.recorded_at, "event": one.event}
            for one in events
        ]
        click.echo(msgspec.json.encode({"events": told, "state": state, "sent_again": again}).decode())
        return
    rows = (
        (one.version, one.recorded_at.isoformat(" "), one.event.TYPE[len("message.") :], in_words(fields(one.event)))
        for one in events
    )
    left_out = [f"{len(stream) - len(events)} later left out"] if len(events) < len(stream) else []
    lines = [*fields(state).items(), *(("sent again", one) for one in again)]
    show(listed(("version", "recorded at", "event", "fields"), rows), *left_out, "", named(lines))
