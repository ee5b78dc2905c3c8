"""Rows of the log that cannot be read: each is found alone, set aside, and the page is read around it."""

from collections.abc import Callable, Sequence
from typing import Any

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.conviction import Narrowed, Suspect, insist, is_away, narrow
from outbox.relay.cursor import Cursor
from outbox.relay.reader import Limits, Page, Place, list_page, read_places, split_large
from outbox.relay.set_aside import Aside, set_aside

Sized = tuple[Any, ...]  # a row behind its size
Found = Narrowed[Place, list[Sized]]
_NEAREST = """
(SELECT position, stream_id::text, version, coalesce(size, 0) FROM outbox
 WHERE topic IS NOT NULL AND position < %(first)s ORDER BY position DESC LIMIT %(most)s)
UNION ALL
(SELECT position, stream_id::text, version, coalesce(size, 0) FROM outbox
 WHERE topic IS NOT NULL AND position > %(last)s ORDER BY position LIMIT %(most)s)
"""
NEIGHBOURS = 5  # rows on either side of a page, of which one at least has to be readable


class NoNeighbourError(Exception):
    """There is no other row in the log, or none that can be read."""


def read_around(connection: Connection, cursor: Cursor, limits: Limits, pause: Callable[[float], object]) -> Page:
    """The next page without the rows that cannot be read: they are set aside.

    `pause` waits for so many seconds. Raises what is no row's fault.
    """
    places, after = list_page(connection, cursor, limits)
    if not places:
        return Page([], after)
    found = _narrowed(connection, places)
    if found.excused:
        found = insist(found, lambda one: read_places(connection, one), _witness(connection, places, found), pause)
    set_aside(
        connection,
        [Aside(one.item.stream_id, one.item.version, "unreadable", one.error) for one in found.convicted],
    )
    sized = sorted((row for part in found.done for row in part), key=lambda row: row[-1])
    rows, large = split_large(sized)
    return Page(rows, after, large)


def _narrowed(connection: Connection, places: Sequence[Place]) -> Found:
    """Where none of several can be read, and others of the log can, each is tried alone."""

    def read(some: Sequence[Place]) -> list[Sized]:
        return read_places(connection, some)

    def probe() -> None:
        try:
            _read_neighbour(connection, places)
        except NoNeighbourError:
            read([])

    try:
        return narrow(places, read, probe)
    except Exception as error:
        if is_away(error):
            raise
        try:
            _read_neighbour(connection, places)
        except NoNeighbourError:
            raise error from None
        return _one_by_one(places, read)


def _one_by_one(places: Sequence[Place], read: Callable[[Sequence[Place]], list[Sized]]) -> Found:
    found = Found()
    for place in places:
        try:
            found.done.append(read([place]))
        except Exception as error:
            if is_away(error):
                raise
            found.excused.append(Suspect(place, error))
    return found


def _witness(connection: Connection, places: Sequence[Place], found: Found) -> Callable[[], object]:
    """Reads another row of the log, that was read before where there is one."""
    good = next((row for part in found.done for row in part), None)
    if good is None:
        return lambda: _read_neighbour(connection, places)
    place = Place(good[-1], good[1], good[2], good[0])
    return lambda: read_places(connection, [place])


def _read_neighbour(connection: Connection, places: Sequence[Place]) -> None:
    """Read one of the rows before and behind. Raises NoNeighbourError where none can be read."""
    values = {"first": places[0].position, "last": places[-1].position, "most": NEIGHBOURS}
    with connection.cursor() as cursor:
        cursor.execute(_NEAREST, values)
        neighbours = [Place(*row) for row in cursor.fetchall()]
    for neighbour in neighbours:
        try:
            read_places(connection, [neighbour])
        except Exception as error:
            if is_away(error):
                raise
        else:
            return
    raise NoNeighbourError
