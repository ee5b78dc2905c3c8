"""Rows of the log that cannot be read: each is found alone, set aside, and the page is read around it."""

from collections.abc import Callable, Sequence
from typing import Any

from herald.outbox.postgres.conviction import (
    Convictions,
    Narrowed,
    Suspect,
    convicts_nobody,
    insist,
    is_away,
    narrow,
)
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.cursor import Cursor
from herald.outbox.relay.reader import Limits, Page, Place, list_page, read_places, split_large
from herald.outbox.relay.set_aside import Aside, set_aside

Sized = tuple[Any, ...]  # a row behind its size
Found = Narrowed[Place, list[Sized]]
_NEAREST = """
(SELECT position, stream_id::text, version, coalesce(size, 0) FROM outbox
 WHERE topic IS NOT NULL AND position < %(first)s ORDER BY position DESC LIMIT %(most)s)
UNION ALL
(SELECT position, stream_id::text, version, coalesce(size, 0) FROM outbox
 WHERE topic IS NOT NULL AND position > %(last)s ORDER BY position LIMIT %(most)s)
"""
_KNOWN = """
SELECT s.stream_id::text, s.version
FROM set_aside AS s JOIN unnest(%s::uuid[], %s::integer[]) AS asked(stream_id, version) USING (stream_id, version)
"""
NEIGHBOURS = 5  # rows on either side of a page, of which one at least has to be readable


class NoNeighbourError(Exception):
    """There is no other row in the log, or none that can be read."""


def read_around(
    connection: Connection,
    cursor: Cursor,
    limits: Limits,
    pause: Callable[[float], object],
    convictions: Convictions,
) -> Page:
    """The next page without the rows that cannot be read: they are set aside.

    `pause` waits for so many seconds. Raises what is no row's fault, and what the server says of more rows than
    `convictions` allow: a disk that fails for a while must not empty the log.
    """
    places, after = list_page(connection, cursor, limits)
    if not places:
        return Page([], after)
    found = _narrowed(connection, places)
    if found.excused:
        found = insist(found, lambda one: read_places(connection, one), _witness(connection, places, found), pause)
    _set_aside(connection, found.convicted, convictions)
    sized = sorted((row for part in found.done for row in part), key=lambda row: row[-1])
    rows, large = split_large(sized)
    return Page(rows, after, large)


def _set_aside(connection: Connection, suspects: Sequence[Suspect[Place]], convictions: Convictions) -> None:
    """Raises the error of the first that is one too many; those before it are set aside, and not counted again."""
    known = _known(connection, [one.item for one in suspects])
    allowed: list[Aside] = []
    excess: Exception | None = None
    for one in suspects:
        place = one.item.stream_id, one.item.version
        if place not in known and convicts_nobody(one.error) and not convictions.allows(one.error):
            excess = excess or one.error
        else:
            allowed.append(Aside(*place, "unreadable", one.error))
    set_aside(connection, [one for one in allowed if one[:2] not in known])
    if excess is not None:
        raise excess


def _known(connection: Connection, places: Sequence[Place]) -> set[tuple[str, int]]:
    """Those that are set aside already."""
    if not places:
        return set()
    found = fetch(connection, _KNOWN, [one.stream_id for one in places], [one.version for one in places])
    return {(stream, version) for stream, version in found}


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
    neighbours = fetch(connection, _NEAREST, values, into=Place)
    for neighbour in neighbours:
        try:
            read_places(connection, [neighbour])
        except Exception as error:
            if is_away(error):
                raise
        else:
            return
    raise NoNeighbourError
