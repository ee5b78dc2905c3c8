"""`herald pause` and `herald resume`: hold deliveries back at run time, without a restart."""

import rich_click as click

from herald.outbox.moves.pauses import ALL, ScopeError, check_scope, pause, resume
from herald.outbox.operate.opening import desk, text


def held(given: str) -> str:
    """What can be paused. Raises BadParameter."""
    try:
        return check_scope(given)
    except ScopeError as error:
        raise click.BadParameter(str(error)) from None


@click.command("pause")
@click.argument("scope", type=held, default=ALL)
@click.option("--reason", type=text, help="For whoever wonders; `herald status` shows it.")
def pause_command(scope: str, reason: str | None) -> None:
    """Hold deliveries back: all of them, of a topic, or over a channel.

    SCOPE is all, topic:NAME or channel:NAME. What is under way ends as it would. Paused work stays due,
    across restarts, until `herald resume`.
    """
    with desk("herald-pause") as (_, connection):
        pause(connection, scope, reason=reason)
    click.echo(f"paused: {scope}")


@click.command("resume")
@click.argument("scope", type=held, default=ALL)
def resume_command(scope: str) -> None:
    """Let deliveries go on that were held back by `herald pause SCOPE`."""
    with desk("herald-pause") as (_, connection):
        was_paused = resume(connection, scope)
    click.echo(f"resumed: {scope}" if was_paused else f"was not paused: {scope}")
