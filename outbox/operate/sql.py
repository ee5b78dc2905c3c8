"""`herald sql`: the statements that move messages, as they are put together, for psql."""

import re

import rich_click as click

from herald.outbox.moves.accept import ACCEPT
from herald.outbox.moves.adopt import ADOPT
from herald.outbox.moves.around import END
from herald.outbox.moves.cancel import CANCEL, CANCEL_GROUP
from herald.outbox.moves.claim import CLAIM, CLAIM_STRICTLY
from herald.outbox.moves.decide import DISCARD, DISCARD_PENDING, EDIT, REQUEUE
from herald.outbox.moves.expire import EXPIRE
from herald.outbox.moves.record import RECORD
from herald.outbox.moves.reject import REJECT
from herald.outbox.moves.send_again import SEND_AGAIN
from herald.outbox.moves.settle import SETTLE
from herald.outbox.operate.opening import answering
from herald.outbox.postgres.prepared import Prepared, prepare
from herald.outbox.postgres.session_settings import search_path
from herald.outbox.postgres.statements import Statement
from herald.outbox.scheduler.due import what_is_due

MOVES: dict[str, Statement] = {
    "accept": ACCEPT,
    "adopt": ADOPT,
    "claim": CLAIM,
    "claim-strictly": CLAIM_STRICTLY,
    "record": RECORD,
    "settle": SETTLE,
    "expire": EXPIRE,
    "request": what_is_due({}).statement,
    "reject": REJECT,
    "end": END,
    "cancel": CANCEL,
    "cancel-group": CANCEL_GROUP,
    "send-again": SEND_AGAIN,
    "edit": EDIT,
    "requeue": REQUEUE,
    "discard": DISCARD,
    "discard-pending": DISCARD_PENDING,
}
_PLACEHOLDER = re.compile(r"%\((\w+)\)s")


@click.command("sql")
@click.argument("move", type=click.Choice(list(MOVES)))
def command(move: str) -> None:
    """Print the statement of a move, for psql.

    psql gets the values as variables, each written as SQL: herald sql claim | psql -v records="'[]'" -v lease=60
    """
    statement = _prepared(move, MOVES[move])
    call = _PLACEHOLDER.sub(r":\1", statement.call)
    with answering() as settings:
        path = search_path(settings.database_schema)
    click.echo(f"SET search_path = {path};\n\n{statement.definition};\n\n{call};")


def _prepared(move: str, statement: Statement) -> Prepared:
    """PostgreSQL finds out which types the values of a plain statement have."""
    if isinstance(statement, Prepared):
        return statement
    return prepare(move.replace("-", "_"), statement, **dict.fromkeys(_PLACEHOLDER.findall(statement), "unknown"))
