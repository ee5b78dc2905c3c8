"""Where the relay stands in the log, stored so that every term begins where the last one surely was."""

import secrets
from dataclasses import dataclass, replace

from herald.outbox.postgres.driver import Connection

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


def load(connection: Connection) -> Cursor:
    """Read the stored cursor; the first time, begin before everything there is."""
    with connection.cursor() as cursor:
        cursor.execute(
            f"INSERT INTO relay_cursor (name, previous, last_position, floor, epoch, system_identifier, timeline)"
            f" VALUES (%s, '1:1:', 0, 0, 0, {_HERE}) ON CONFLICT DO NOTHING",
            (NAME,),
        )
        cursor.execute(f"SELECT {_COLUMNS} FROM relay_cursor WHERE name = %s", (NAME,))
        return Cursor(*cursor.fetchone())  # type: ignore[misc]


def check_database(connection: Connection, cursor: Cursor) -> None:
    """Check that the cursor belongs to this PostgreSQL. Raises CursorError."""
    with connection.cursor() as here:
        here.execute(f"SELECT {_HERE}")
        system_identifier, _timeline = here.fetchone()  # type: ignore[misc]
    _check(cursor.system_identifier, system_identifier, "PostgreSQL cluster")


def begin_term(connection: Connection, cursor: Cursor, *, cluster_id: str) -> Cursor:
    """Check that the cursor belongs to this PostgreSQL and this Kafka, and take it over.

    A new timeline (a fail-over) is fine: the stored cursor was replicated with the log it describes.
    Raises CursorError on another cluster, LostLeadError when another relay was faster.
    """
    check_database(connection, cursor)
    with connection.cursor() as here:
        here.execute(f"SELECT {_HERE}")
        _system_identifier, timeline = here.fetchone()  # type: ignore[misc]
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
    with connection.cursor() as statement:
        statement.execute(
            # A lost save only repeats records, which claims drop, and its order in the WAL is kept. One message of the
            # protocol, so one transaction: nothing of it stays with the session.
            "SET LOCAL synchronous_commit = off;"
            " UPDATE relay_cursor SET previous = %s::pg_snapshot, target = %s::pg_snapshot, last_position = %s,"
            " timeline = %s, cluster_id = %s, epoch = epoch + %s, saved_at = clock_timestamp()"
            " WHERE name = %s AND epoch = %s",
            (
                cursor.previous,
                cursor.target,
                cursor.last_position,
                cursor.timeline,
                cursor.cluster_id,
                leap,
                NAME,
                cursor.epoch,
            ),
        )
        if statement.rowcount != 1:
            message = f"the cursor is no longer at epoch {cursor.epoch}"
            raise LostLeadError(message)
    return replace(cursor, epoch=cursor.epoch + leap)
