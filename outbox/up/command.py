"""`herald up`: the composition root of everything on one machine."""

import fcntl
import os
import socket
from collections.abc import Generator
from contextlib import contextmanager
from ipaddress import IPv4Address
from pathlib import Path
from threading import Event, Thread

import rich_click as click

from herald.outbox.logs import load_log_settings
from herald.outbox.settings import Settings, SettingsError, load_settings
from herald.outbox.up.child import LOOK, StartError
from herald.outbox.up.demo import visit
from herald.outbox.up.environment import Given, is_open
from herald.outbox.up.start import REPORT, Start
from herald.outbox.up.supervisor import Signals, StopRequestedError, Supervisor
from herald.outbox.up.terminal import Terminal

KILLED = 130  # the exit code of a program that ended by Ctrl-C
EVERYWHERE = {str(IPv4Address(0)): "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # where an API that listens there answers


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

    Brings its own PostgreSQL 18 and its own Kafka-compatible broker (the extra `embedded`), unless DATABASE_URL or
    KAFKA_BOOTSTRAP_SERVERS name yours. The database stays in the data folder; the broker forgets at its end,
    and what was unfinished is requested again. What ends is restarted. Ctrl-C stops everything in order, a second
    Ctrl-C at once.
    """
    terminal = Terminal(as_json=load_log_settings().log_format == "json")
    try:
        given = load_settings(Given)
    except SettingsError as error:
        terminal.complain(str(error))
        raise SystemExit(2) from None
    raise SystemExit(up(given, port or given.port, data.absolute(), demo or 0, terminal))


def up(given: Settings, port: int, data: Path, demo: int, terminal: Terminal) -> int:
    """Run until a person asks to stop; returns the exit code."""
    supervisor = Supervisor(terminal, report=data / REPORT)
    with Signals() as signals:
        try:
            make_data_folder(data)
            with held(data):
                require_free(given.host, port)
                require_open(given, demo)
                return _run(Start(data, given, port, terminal, signals, supervisor), demo)
        except (StartError, OSError) as error:
            terminal.complain(str(error))
    return 1


def _run(start: Start, demo: int) -> int:
    stop, url = Event(), base_url(start.given.host, start.port)
    try:
        settings = start.everything()
        Thread(target=visit, args=(url, start.data, settings, demo, start.terminal, stop), daemon=True).start()
        while True:
            start.signals.wait(LOOK)
            start.supervisor.level = start.signals.level
            start.supervisor.watch()
    except StopRequestedError:
        start.terminal.say("stopping: api, relay, pipeline, then the servers; Ctrl-C again kills them")
    finally:
        stop.set()
        start.supervisor.stop(start.signals)
    start.terminal.say("stopped")
    return KILLED if start.signals.hurry else 0


def make_data_folder(data: Path) -> None:
    """Make the folder unless it exists; for root passable, because the server runs as somebody else."""
    if not data.is_dir():
        data.mkdir(parents=True)
        data.chmod(0o711 if os.geteuid() == 0 else 0o700)


@contextmanager
def held(data: Path) -> Generator[None]:
    """Hold the folder; the kernel lets go when this process ends, however it ends. Raises StartError."""
    with (data / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            message = f"herald up already runs on {data} (process {file.read()}): choose another folder with --data"
            raise StartError(message) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def require_free(host: str, port: int) -> None:
    """Raise StartError unless the API can listen there."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the API will: TIME_WAIT is no obstacle
            probe.bind(address)
    except OSError as error:
        message = f"the API cannot listen on {host}:{port} ({error.strerror}): choose another port with --port"
        raise StartError(message) from None


def require_open(given: Settings, demo: int) -> None:
    """Raise StartError where the demo has nobody to ask for it."""
    if demo and not is_open(given):
        message = "--demo posts without a key: set HERALD_OPEN=yes, where only this machine reaches the address"
        raise StartError(message)


def base_url(host: str, port: int) -> str:
    """How a client on this machine reaches the API."""
    reached = EVERYWHERE.get(host, host)
    return f"http://[{reached}]:{port}" if ":" in reached else f"http://{reached}:{port}"
