"""`herald status`: asks both servers, once or again and again, and shows what they say."""

import json
from contextlib import nullcontext
from datetime import datetime
from typing import NoReturn

import rich_click as click
from rich.console import Group
from rich.live import Live
from rich.table import Table

from herald.outbox.operate.opening import answering, stop_told
from herald.outbox.operate.shown import make_console, named, show
from herald.outbox.operate.status.database import Row, read_database
from herald.outbox.operate.status.kafka import Kafka, begin
from herald.outbox.operate.status.report import Database, machine_form, told
from herald.outbox.postgres.instance import default_group
from herald.outbox.settings import Settings
from herald.outbox.stopping import leave

EVERY = 3.0  # seconds between two looks
LOOK = 0.05  # seconds until it is looked at again whether somebody wants it to end


@click.command("status")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of a table.")
@click.option(
    "--watch", is_flag=True, help=f"Go on every {EVERY:g} seconds, until Ctrl-C or SIGTERM; then with code 0."
)
def command(*, as_json: bool, watch: bool) -> None:
    """Show where everything stands: database, messages, relay, Kafka.

    Reads DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS; changes nothing. The exit code is 1 when one of the two
    cannot be reached. `herald up` writes both to its data folder: `source .herald/env`.
    """
    with answering() as settings:
        status = Status(settings)
        if watch:
            keep_shown(status, as_json=as_json)
            _end(0)
        database, kafka = status.ask()
    if as_json:
        click.echo(status.in_json(database, kafka))
    else:
        show(status.table(database, kafka))
    _end(1 if database["database"].error or kafka["error"] else 0)


def _end(code: int) -> NoReturn:
    """Where `herald` was typed, at once: to destroy Kafka's clients takes a tenth of a second."""
    context = click.get_current_context()
    if context and context.parent:
        leave(code)
    raise SystemExit(code)


class Status:
    """What both servers say, now and later."""

    def __init__(self, settings: Settings) -> None:
        self._settings = self._own = settings  # its own once the database has told which Herald it is
        self._kafka = Kafka(settings)

    def ask(self) -> tuple[Database, Row]:
        """Both at once."""
        answer = self._kafka.ask()
        database = read_database(self._settings)
        if known := database["instance"].row.get("id"):
            self._own = self._settings.of_instance(known, group=default_group(known))
        return database, answer(self._own)

    def table(self, database: Database, kafka: Row) -> Table:
        """For a person."""
        return named(told(database, kafka, self._own.instance))

    @staticmethod
    def in_json(database: Database, kafka: Row) -> str:
        """For a program, in one line."""
        return json.dumps(machine_form(database, kafka), default=str)


def keep_shown(status: Status, *, as_json: bool) -> None:
    """Until somebody ends it: in place on a terminal, elsewhere a block behind the other, or a line of JSON."""
    stop, console = stop_told(), make_console()
    in_place = console.is_terminal and not as_json
    with Live(console=console, auto_refresh=False) if in_place else nullcontext() as live:
        while not stop.is_set():
            asked = begin(status.ask)
            while not (asked.done() or stop.wait(LOOK)):
                pass
            if stop.is_set():
                return
            database, kafka = asked.result()
            dated = Group(f"{datetime.now().astimezone():%F %T}", status.table(database, kafka))
            if live:
                live.update(dated, refresh=True)
            elif as_json:
                click.echo(status.in_json(database, kafka))
            else:
                console.print(dated, "")
            stop.wait(EVERY)
