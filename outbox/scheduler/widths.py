"""How many partitions a topic has, and since when: the same key is in another one once the number has changed."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.snapshot import Snapshot
from herald.outbox.postgres.statements import execute

KNOWN_WITHIN = 30.0  # seconds in which every producer has learnt of new partitions: it asks every 10


class Width(NamedTuple):
    """So many partitions. What the snapshot `since` shows was requested when there may have been others.

    `since` is None where there never were others; `changed_at` (seconds since 1970, by the database) is set while
    producers may not know of the change.
    """

    partitions: int
    since: str | None = None
    changed_at: float | None = None

    def may_be_elsewhere(self, requested_in: int) -> bool:
        """Whether the partition of what was requested then may have been chosen among another number of them."""
        return self.changed_at is not None or (self.since is not None and Snapshot(self.since).shows(requested_in))


Widths = Mapping[str, Width]


def widths_of(partitions: Mapping[str, Sequence[int]]) -> dict[str, int]:
    """How many there are of each topic; one of which a broker tells no partition is left out."""
    return {topic: len(numbers) for topic, numbers in partitions.items() if numbers}


def follow(stored: Widths, found: Mapping[str, int], *, snapshot: str, at: float) -> dict[str, Width]:
    """The widths of the topics found, after those that are stored; `snapshot` shows all that was published by now."""
    return {topic: _follow(stored.get(topic), partitions, snapshot, at) for topic, partitions in found.items()}


def _follow(known: Width | None, partitions: int, snapshot: str, at: float) -> Width:
    if known is None:
        return Width(partitions)
    if known.partitions != partitions:
        return Width(partitions, changed_at=at)
    if known.changed_at is not None and at - known.changed_at >= KNOWN_WITHIN:
        return Width(partitions, since=snapshot)
    return known


def read_widths(stored: Mapping[str, Any]) -> dict[str, Width]:
    """From their form in the cursor's row."""
    return {topic: Width(**width) for topic, width in stored.items()}


def save_widths(connection: Connection, widths: Widths) -> None:
    """Into the cursor's row, in the caller's transaction."""
    stored = json.dumps({topic: width._asdict() for topic, width in widths.items()})
    execute(connection, "UPDATE relay_cursor SET widths = %s::jsonb WHERE name = 'relay'", stored)
