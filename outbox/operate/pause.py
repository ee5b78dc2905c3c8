"""`herald pause` and `herald resume`: hold deliveries back at run time, without a restart."""

import sys
from contextlib import closing

import rich_click as click

from herald.outbox.moves.pauses import ALL, ScopeError, pause, resume
from herald.outbox.operate.dead_letters.options import Reason
from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.driver import PostgresError
from herald.outbox.settings import SettingsError, load_settings

SCOPE = "`all`, `topic:<name>` or `channel:<name>`"


@click.command("pause")
@click.argument("scope", default=ALL)
@click.option("--reason", type=Reason(), help="For whoever wonders; `herald status` shows it.")
def pause_command(scope: str, reason: str | None) -> None:
    """Hold deliveries back: all of them, of a topic, or over a channel.

    SCOPE is all, topic:NAME or channel:NAME. What is under way ends as it would. Paused work stays due,
    across restarts, until `herald resume`.
    """
    _change(scope, reason=reason, is_paused=True)
    click.echo(f"paused: {scope}")


@click.command("resume")
@click.argument("scope", default=ALL)
def resume_command(scope: str) -> None:
    """Let deliveries go on that were held back by `herald pause SCOPE`."""
    was_paused = _change(scope, reason=None, is_paused=False)
    click.echo(f"resumed: {scope}" if was_paused else f"was not paused: {scope}")


def _change(scope: str, *, reason: str | None, is_paused: bool) -> bool:
    """Whether it was paused before a resume. Ends the process with 2 for wrong input, 1 for the database."""
    try:
        with closing(connect(load_settings(), "herald-pause")) as connection:
            found = bool(pause(connection, scope, reason=reason)) if is_paused else resume(connection, scope)
            connection.commit()
            return found
    except (SettingsError, ScopeError) as error:
        click.echo(str(error), err=True)
        sys.exit(2)
    except PostgresError as error:
        click.echo(f"the database does not answer: {str(error).strip()}", err=True)
        sys.exit(1)
