"""`herald relay`, and what an operator does once: rebase, and take topics over."""

import contextlib
import threading

import rich_click as click
from confluent_kafka import KafkaException

from herald.outbox.kafka.clients import explanation, make_admin
from herald.outbox.kafka.owner import OwnedElsewhereError, take_over
from herald.outbox.logs import configure_logs
from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.driver import PostgresError
from herald.outbox.postgres.fitness import UnfitError
from herald.outbox.postgres.instance import identified
from herald.outbox.relay.process import run
from herald.outbox.relay.rebase import rebase
from herald.outbox.settings import Settings, load_settings
from herald.outbox.startup import be_watched, usable
from herald.outbox.stopping import LEAVE, leave, stop_on_signals
from herald.outbox.watched import traces
from herald.outbox.watched.relay import METRICS


@click.command("relay")
@click.option("--rebase", "is_rebase", is_flag=True, help="Take the cursor over to these clusters, and end.")
@click.option("--moved", "says", flag_value="moved", help="With --rebase: the original is gone.")
@click.option("--copied", "says", flag_value="copied", help="With --rebase: it lives on beside this one.")
@click.option(
    "--replace-owner", "replaced", metavar="INSTANCE", help="Take the topics over from a Herald that is gone."
)
def command(*, is_rebase: bool, says: str | None, replaced: str | None) -> None:
    """Publish the outbox to Kafka, and request again what is due.

    One relay leads, any number stand by. Stops on SIGTERM after what is in flight is settled.
    """
    if is_rebase and replaced is not None:
        message = "--rebase and --replace-owner are two steps: run one, then the other"
        raise click.UsageError(message)
    if is_rebase != (says is not None):
        message = (
            "say what this database is: `herald relay --rebase --moved` where the original is gone,"
            " `herald relay --rebase --copied` where it lives on"
        )
        raise click.UsageError(message)
    configure_logs("relay")
    with usable():
        settings = load_settings()
    stop = threading.Event()
    stop_on_signals(stop, leave_within=LEAVE)
    if replaced is not None:
        leave(_replace_owner(settings, replaced))
    if says:
        leave(_rebase(settings, says))
    with usable():
        be_watched(settings, METRICS.registry)
        traces.begin("relay")
    code = run(settings, stop)
    traces.end()
    leave(code)


def _replace_owner(settings: Settings, replaced: str) -> int:
    try:
        with contextlib.closing(connect(settings, "herald-owner")) as connection:
            settings = identified(settings, connection)
        take_over(settings, make_admin(settings), replaced)
    except (UnfitError, OwnedElsewhereError) as error:
        click.echo(str(error), err=True)
        return 1
    except KafkaException as error:
        click.echo(f"Kafka at {settings.kafka_bootstrap_servers}: {explanation(error)}", err=True)
        return 1
    except PostgresError as error:
        click.echo(f"the database does not answer: {str(error).strip()}", err=True)
        return 1
    click.echo(f"the topics belong to this Herald, {settings.instance}, and no longer to {replaced}")
    return 0


def _rebase(settings: Settings, says: str) -> int:
    try:
        again = rebase(settings, as_copy=says == "copied")
    except UnfitError as error:
        click.echo(str(error), err=True)
        return 1
    if again is None:
        click.echo("the timeline is accepted; the cursor and what is pending stay as they are")
    else:
        click.echo(f"rebased: {again} pending messages are requested again")
    if says == "copied":
        click.echo("everything is paused: `herald resume` delivers from here what the original has under way, too")
    return 0
