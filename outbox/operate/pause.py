"""`herald pause` and `herald resume`: hold deliveries back at run time, without a restart."""

from collections.abc import Iterator
from contextlib import contextmanager

import rich_click as click

from herald.outbox.moves.pauses import ALL, ScopeError, pause, resume
from herald.outbox.operate.opening import desk, person, text
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.registered import learn_names


@contextmanager
def deciding() -> Iterator[Connection]:
    """A connection, once it is known what others have registered. Raises BadParameter for a scope that is none."""
    try:
        with desk("herald-pause") as (_, connection):
            learn_names(connection)
            yield connection
    except ScopeError as error:
        raise click.BadParameter(str(error)) from None


@click.command("pause")
@click.argument("scope", default=ALL)
@click.option("--reason", type=text, help="For whoever wonders; `herald status` shows it.")
def pause_command(scope: str, reason: str | None) -> None:
    """Hold deliveries back: all of them, of a topic, or over a channel.

    SCOPE is all, topic:NAME or channel:NAME. What is under way ends as it would. Paused work stays due,
    across restarts, until `herald resume`.
    """
    with deciding() as connection:
        pause(connection, scope, reason=reason, actor=person())
    click.echo(f"paused: {scope}")


@click.command("resume")
@click.argument("scope", default=ALL)
def resume_command(scope: str) -> None:
    """Let deliveries go on that were held back by `herald pause SCOPE`."""
    with deciding() as connection:
        was_paused = resume(connection, scope)
    click.echo(f"resumed: {scope}" if was_paused else f"was not paused: {scope}")
