"""Where the relay stands in the log, stored so that every term begins where the last one surely was."""

import secrets
from dataclasses import asdict, dataclass, replace

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import prepare
from herald.outbox.postgres.statements import execute, fetch_one

NAME = "relay"
LEAP = 2**31  # epochs at most that a new term leaves out; a bigint has room for four thousand million terms


def leap() -> int:
    """How many epochs to go on: by chance, so that no relay of before can remember the number."""
    return 1 + secrets.randbelow(LEAP)


class CursorError(Exception):
    """The stored cursor does not belong to these clusters; the text names the command that rebases it."""


class LostLeadError(Exception):
    """Another relay has moved the cursor: this one must start again from what is stored."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """Published: all that is visible in `previous`, and of `target` all up to `last_position`.

    Snapshots are PostgreSQL's text form. Positions at or below `floor` are not read (see rebase and reader).
    `epoch` grows with every save and is the fence against a relay that believes it still leads. With every term
    and every rebase it leaps by chance: after a fail-over or a restore the stored one is an earlier one, and counting
    on from there would come by the number that such a relay remembers.
    """

    previous: str
    target: str | None
    last_position: int
    floor: int
    epoch: int
    system_identifier: str
    timeline: int
    cluster_id: str | None

    def after_page(self, *, target: str, last_position: int, is_last: bool) -> "Cursor":
        """The cursor once a page up to `last_position` is settled; the last page of a difference closes it."""
        if is_last:
            return replace(self, previous=target, target=None, last_position=0)
        return replace(self, target=target, last_position=last_position)


_COLUMNS = "previous::text, target::text, last_position, floor, epoch, system_identifier, timeline, cluster_id"
_HERE = "(SELECT system_identifier::text FROM pg_control_system()), (SELECT timeline_id FROM pg_control_checkpoint())"

# A lost save only repeats records, which claims drop, and its order in the WAL is kept. One message of the protocol, so
# one transaction: nothing of it stays with the session.
_SAVE = prepare(
    "save_cursor",
    """
UPDATE relay_cursor SET previous = %(previous)s::pg_snapshot, target = %(target)s::pg_snapshot,
    last_position = %(last_position)s, timeline = %(timeline)s, cluster_id = %(cluster_id)s, epoch = epoch + %(leap)s,
    saved_at = clock_timestamp()
WHERE name = %(name)s AND epoch = %(epoch)s
""",
    previous="text",
    target="text",
    last_position="bigint",
    timeline="integer",
    cluster_id="text",
    leap="bigint",
    name="text",
    epoch="bigint",
).under("SET LOCAL synchronous_commit = off")


def load(connection: Connection) -> Cursor:
    """Read the stored cursor; the first time, begin before everything there is."""
    execute(
        connection,
        f"INSERT INTO relay_cursor (name, previous, last_position, floor, epoch, system_identifier, timeline)"
        f" VALUES (%s, '1:1:', 0, 0, 0, {_HERE}) ON CONFLICT DO NOTHING",
        NAME,
    )
    return Cursor(*fetch_one(connection, f"SELECT {_COLUMNS} FROM relay_cursor WHERE name = %s", NAME))


def check_database(connection: Connection, cursor: Cursor) -> None:
    """Check that the cursor belongs to this PostgreSQL. Raises CursorError."""
    system_identifier, _timeline = fetch_one(connection, f"SELECT {_HERE}")
    _check(cursor.system_identifier, system_identifier, "PostgreSQL cluster")


def begin_term(connection: Connection, cursor: Cursor, *, cluster_id: str) -> Cursor:
    """Check that the cursor belongs to this PostgreSQL and this Kafka, and take it over.

    A new timeline (a fail-over) is fine: the stored cursor was replicated with the log it describes.
    Raises CursorError on another cluster, LostLeadError when another relay was faster.
    """
    check_database(connection, cursor)
    _system_identifier, timeline = fetch_one(connection, f"SELECT {_HERE}")
    _check(cursor.cluster_id, cluster_id, "Kafka cluster")
    return save(connection, replace(cursor, timeline=timeline, cluster_id=cluster_id), leap=leap())


def _check(stored: str | None, found: str, what: str) -> None:
    if stored not in {None, found}:
        message = (
            f"the relay's cursor belongs to another {what} ({stored}; this one is {found}). If this one continues the"
            " other (restored, migrated), stop every relay and run `herald relay --rebase --moved` once"
        )
        raise CursorError(message)


def save(connection: Connection, cursor: Cursor, *, leap: int = 1) -> Cursor:
    """Store the cursor if nobody else has since; returns it with its new epoch. Raises LostLeadError."""
    if execute(connection, _SAVE, {**asdict(cursor), "name": NAME, "leap": leap}) != 1:
        message = f"the cursor is no longer at epoch {cursor.epoch}"
        raise LostLeadError(message)
    return replace(cursor, epoch=cursor.epoch + leap)
