"""Reads pages: what became visible between two snapshots, in the order of positions.

`position > last` alone loses every transaction that commits after one with a higher position
(measured: 39 % of the events of concurrent writers). Reading below `xmin` loses none, but stalls
while any transaction in the cluster stays open. The difference of two snapshots does neither.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.prepared import Prepared
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.cursor import Cursor
from herald.outbox.relay.page_statements import AT_PLACES, LARGEST, PAGES, PLACES

# stream_id, version, type, topic, key, value, recorded_at, request, traceparent, position
Row = tuple[str, int, str, str, str | None, str | None, str, str | None, str | None, int]
WIDTH = 10  # columns of a Row


class Limits(NamedTuple):
    """Of a page: how many rows, and how many bytes as they are read back; a single larger row passes alone."""

    rows: int
    bytes: int = 4_194_304


@dataclass(frozen=True, slots=True)
class Page:
    """Rows to publish together, and the cursor that holds once all of them are settled; `refused` never will be."""

    rows: list[Row]
    cursor: Cursor
    refused: Sequence[tuple[Row, str]] = ()


class Place(NamedTuple):
    """Where a row stands, and how large it is read back; nothing else of it was read."""

    position: int
    stream_id: str
    version: int
    bytes: int


class Places(NamedTuple):
    """Where the rows of a page stand, and the cursor that holds once all of them are settled."""

    places: list[Place]
    cursor: Cursor


def read_page(connection: Connection, cursor: Cursor, limits: Limits) -> Page:
    """What comes next, within the limits; an empty page means that nothing new is visible."""
    sized, target, size = _fetch(connection, cursor, PAGES, limits)
    rows, large = split_large(sized)
    page = make_page(cursor, [row[: WIDTH + 1] for row in sized] if large else rows, target, size)
    return replace(page, rows=rows, refused=large)


def list_page(connection: Connection, cursor: Cursor, limits: Limits) -> Places:
    """The same page without what the rows carry."""
    found, target, size = _fetch(connection, cursor, PLACES, limits)
    page = make_page(cursor, [row[:1] for row in found], target, size)
    return Places([Place(*row[:4]) for row in found], page.cursor)


def read_places(connection: Connection, places: Sequence[Place]) -> list[tuple[Any, ...]]:
    """The rows at these places, each behind its size."""
    values = {
        "streams": [place.stream_id for place in places],
        "versions": [place.version for place in places],
        "sizes": [place.bytes for place in places],
    }
    return fetch(connection, AT_PLACES, values)


def split_large(sized: Sequence[tuple[Any, ...]]) -> tuple[list[Row], list[tuple[Row, str]]]:
    """Rows without their sizes, apart from those that no record can hold, with the reason."""
    rows: list[Row] = [row[1 : WIDTH + 1] for row in sized if row[0] <= LARGEST]
    large = [(row[1 : WIDTH + 1], f"{row[0]:,} bytes, too large for a record") for row in sized if row[0] > LARGEST]
    return rows, large


def make_page(cursor: Cursor, rows: list[Any], target: str, size: int) -> Page:
    """A page of what was found; fewer than `size` rows are the last of a difference."""
    last_position = rows[-1][-1] if rows else cursor.last_position
    is_last = len(rows) < size
    return Page(rows, cursor.after_page(target=target, last_position=last_position, is_last=is_last))


def _fetch(
    connection: Connection, cursor: Cursor, statements: tuple[Prepared, Prepared], limits: Limits
) -> tuple[list[tuple[Any, ...]], str, int]:
    """Rows, the snapshot that is read by, and how many of them are a full page: one cut short by its bytes is one."""
    first, following = statements
    values = {
        "previous": cursor.previous,
        "target": cursor.target,
        "last": cursor.last_position,
        "floor": cursor.floor,
        "size": limits.rows,
        "max_bytes": limits.bytes,
    }
    if cursor.target is None:
        rows = fetch(connection, first, values)
        target, found = rows[0][-1], rows[0][-2] or 0
        rows = rows if found else []
    else:
        target, rows = cursor.target, fetch(connection, following, values)
        found = rows[0][-1] if rows else 0
    return rows, target, len(rows) if found > len(rows) else limits.rows


def with_epoch(cursor: Cursor, epoch: int) -> Cursor:
    """The same place, to be saved over `epoch`."""
    return replace(cursor, epoch=epoch)
