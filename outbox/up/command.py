"""`herald up`: the composition root of everything on one machine."""

from pathlib import Path
from threading import Event, Thread

import rich_click as click
from pydantic import ValidationError

from herald.outbox.up.demo.visitor import visit
from herald.outbox.up.environment import Given
from herald.outbox.up.servers.data_folder import InUseError, held, make_data_folder
from herald.outbox.up.servers.placement import PlacementError
from herald.outbox.up.servers.port import base_url, require_free
from herald.outbox.up.servers.postgres import PostgresError
from herald.outbox.up.servers.wheels import NotInstalledError
from herald.outbox.up.start import REPORT, Start, StartError
from herald.outbox.up.supervisor.signals import Signals, StopRequested
from herald.outbox.up.supervisor.supervise import Supervisor
from herald.outbox.up.supervisor.terminal import Terminal

EXPECTED = (InUseError, NotInstalledError, PlacementError, PostgresError, StartError, OSError)
KILLED = 130  # the exit code of a program that ended by Ctrl-C


@click.command("up")
@click.option("--port", type=click.IntRange(1, 65_535), help="The API listens here.  [default: HERALD_PORT, or 8000]")
@click.option(
    "--data",
    type=click.Path(file_okay=False, path_type=Path),
    default=".herald",
    show_default=True,
    help="Folder for the database and for `env`, which another terminal sources.",
)
@click.option("--demo", type=click.IntRange(min=1), metavar="N", help="Post N notifications and watch them arrive.")
def command(port: int | None, data: Path, demo: int | None) -> None:
    """Run all of Herald on this machine: servers, migration, api, relay, pipeline.

    Brings its own PostgreSQL 18 and its own Kafka-compatible broker, unless DATABASE_URL or
    KAFKA_BOOTSTRAP_SERVERS name yours. The database stays in the data folder; the broker forgets at its end,
    and what was unfinished is requested again. What ends is restarted. Ctrl-C stops everything in order, a second
    Ctrl-C at once.
    """
    terminal = Terminal()
    try:
        given = Given()
    except ValidationError as error:
        terminal.complain("; ".join(f"HERALD_{str(part['loc'][0]).upper()}: {part['msg']}" for part in error.errors()))
        raise SystemExit(2) from None
    raise SystemExit(up(given, port or given.port, data.absolute(), demo or 0, terminal))


def up(given: Given, port: int, data: Path, demo: int, terminal: Terminal) -> int:
    """Run until a person asks to stop; returns the exit code."""
    with Signals() as signals:
        try:
            make_data_folder(data)
            with held(data):
                require_free(given.host, port)
                return _run(
                    Start(data, given, port, terminal, signals, Supervisor(terminal, report=data / REPORT)), demo
                )
        except EXPECTED as error:
            terminal.complain(str(error))
            return 1


def _run(start: Start, demo: int) -> int:
    stop = Event()
    try:
        start.everything()
        url = base_url(start.given.host, start.port)
        Thread(target=visit, args=(url, start.data, demo, start.terminal, stop), daemon=True).start()
        while True:
            start.signals.wait_unless_stopping(start.supervisor.watch())
    except StopRequested:
        start.terminal.say("stopping: api, relay, pipeline, then the servers; Ctrl-C again kills them")
    finally:
        stop.set()
        start.supervisor.stop(start.signals)
    start.terminal.say("stopped")
    return KILLED if start.signals.hurry else 0
