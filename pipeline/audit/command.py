"""`herald audit`: makes every check on a live system, and repairs what is safe to repair."""

import sys
from contextlib import closing
from datetime import datetime
from pathlib import Path
from time import monotonic

import msgspec
import rich_click as click

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.offsets import Offsets
from herald.outbox.operate.audit.findings import Audit, machine_form, table
from herald.outbox.operate.audit.ledger import LedgerError
from herald.outbox.operate.audit.looking import Scope
from herald.outbox.operate.audit.order import audit
from herald.outbox.operate.audit.repair import plan, repair
from herald.outbox.operate.opening import UNUSABLE, answering, date
from herald.outbox.operate.shown import show
from herald.outbox.postgres.connections import connect, read_clock
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.instance import identified
from herald.outbox.postgres.statements import fetch_value
from herald.outbox.settings import Settings
from herald.pipeline.audit.foreign import Foreign
from herald.pipeline.load import make_decoder

STATEMENT_TIMEOUT = 300.0  # seconds: some questions read all there is
LONGEST = 86_400.0  # seconds
_seconds = click.FloatRange(0, LONGEST)
_file = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


class StandbyError(Exception):
    """The database is a standby: it may be behind Kafka, and everything would look lost."""


@click.command("audit")
@click.option("--ledger", "ledgers", type=_file, multiple=True, help="File of what callers or providers saw, by line.")
@click.option("--since", type=date, help="Only messages accepted and records written since then.")
@click.option("--grace", type=_seconds, default=60.0, show_default=True, help="Seconds for what Herald itself mends.")
@click.option("--late", type=_seconds, default=30.0, show_default=True, help="Seconds a date may have passed.")
@click.option("--pending", type=_seconds, default=900.0, show_default=True, help="Seconds a request may wait on Kafka.")
@click.option("--limit", type=click.IntRange(1, 1_000_000), default=10_000, show_default=True, help="Ids per finding.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with all ids up to the limit.")
@click.option("--repair", "is_repair", is_flag=True, help="Show what can be repaired.")
@click.option("--yes", "is_meant", is_flag=True, help="With --repair: do it.")
def command(  # noqa: PLR0913 - one parameter for each option
    *,
    ledgers: tuple[Path, ...],
    since: datetime | None,
    grace: float,
    late: float,
    pending: float,
    limit: int,
    as_json: bool,
    is_repair: bool,
    is_meant: bool,
) -> None:
    """Compare log, projection, Kafka and what was handled, while everything runs.

    Exit code 0: nothing is wrong. 1: something is. 2: settings, options, or a server that does not answer. After
    a repair it audits again, and the exit code tells what is left. Reads DATABASE_URL, the settings of Kafka,
    HERALD_GROUP and HERALD_SOURCE.
    """
    if is_meant and not is_repair:
        raise click.UsageError("--yes belongs to --repair")
    with answering(LedgerError, StandbyError, code=UNUSABLE) as settings, closing(_connect(settings)) as connection:
        scope = Scope(
            settings=identified(settings, connection),
            since=since,
            grace=grace,
            late=late,
            pending=pending,
            limit=limit,
            ledgers=ledgers,
        )
        result = _audit(connection, scope)
        if is_meant:
            repaired = repair(connection, scope.settings, result.checked, before=result.began_at)
            result = _audit(connection, scope)
            result.repaired = repaired
    if as_json:
        click.echo(msgspec.json.encode(machine_form(result)))
    else:
        _show(result, is_repair=is_repair)
    sys.exit(1 if result.wrong else 0)


def _audit(connection: Connection, scope: Scope) -> Audit:
    began, began_at = monotonic(), read_clock(connection)
    checked = audit(connection, make_admin(scope.settings), scope, _make_foreign)
    return Audit(began_at, checked, monotonic() - began)


def _show(result: Audit, *, is_repair: bool) -> None:
    for what, count in (result.repaired or {}).items():
        click.echo(f"repaired: {what}: {count:,}")
    show(table(result))
    if is_repair and result.repaired is None:
        click.echo("\n".join([*plan(result.checked), "nothing was changed; --repair --yes does it"]))


def _connect(settings: Settings) -> Connection:
    """In autocommit, with time for questions that read all there is. Raises StandbyError."""
    patient = settings.model_copy(update={"statement_timeout": STATEMENT_TIMEOUT})
    connection = connect(patient, "herald-audit")
    connection.autocommit = True
    is_standby = fetch_value(connection, "SELECT pg_is_in_recovery()")
    if is_standby:
        raise StandbyError("DATABASE_URL names a standby in recovery; the audit needs the primary")
    return connection


def _make_foreign(connection: Connection, scope: Scope, committed: Offsets) -> Foreign:
    return Foreign(connection, scope, make_decoder(scope.settings, connection), committed)
