"""What Kafka does not take now, of one partition or of a whole topic: a cursor of its own behind the relay's cursor.

The relay's cursor passes these rows and publishes none of them. Their own cursor begins where the relay's stood when
they were withheld, and follows what is caught up. Only once it has come as far as the relay does the row go.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import structlog
from confluent_kafka.admin import TopicMetadata

from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch
from herald.outbox.relay.cursor import NAME, Cursor, LostLeadError
from herald.outbox.relay.reader import Row

WHOLE = -1  # every partition of a topic
_log = structlog.get_logger()


class Part(NamedTuple):
    """A partition of a topic that has `partitions`, or the whole topic."""

    topic: str
    partition: int
    partitions: int

    def has(self, row: Row) -> bool:
        """Whether a row is to be published there; one without a key goes wherever somebody leads."""
        if row[3] != self.topic:
            return False
        if self.partition == WHOLE:
            return True
        return row[4] is not None and partition_of(row[4].encode(), self.partitions) == self.partition


@dataclass(frozen=True, slots=True)
class Withheld:
    """A part, and the cursor up to which it is published."""

    part: Part
    cursor: Cursor


# The whole takes over from its partitions, at the snapshot of whoever is furthest behind, and from its beginning: how
# far one has come within a difference says nothing of the others. Of two snapshots with the same end, the one that saw
# more in progress is older.
_WITHHOLD = """
WITH main AS (SELECT previous, target, last_position FROM relay_cursor WHERE name = %(name)s AND epoch = %(epoch)s),
parts AS (
    DELETE FROM relay_withheld WHERE topic = %(topic)s AND %(partition)s = -1 AND EXISTS (SELECT FROM main)
    RETURNING previous, target, last_position, waiting
),
oldest AS (
    SELECT previous, CASE WHEN count(*) OVER () = 1 THEN target END AS target,
        CASE WHEN count(*) OVER () = 1 THEN last_position ELSE 0 END AS last_position
    FROM (TABLE main UNION ALL SELECT previous, target, last_position FROM parts) AS known
    ORDER BY pg_snapshot_xmax(previous), (SELECT count(*) FROM pg_snapshot_xip(previous)) DESC LIMIT 1
)
INSERT INTO relay_withheld (topic, partition, partitions, previous, target, last_position, waiting, reason)
SELECT %(topic)s, %(partition)s, %(partitions)s, previous, target, last_position,
    (SELECT coalesce(sum(waiting), 0) FROM parts), %(reason)s
FROM oldest WHERE EXISTS (SELECT FROM main)
ON CONFLICT DO NOTHING
"""


def withhold(connection: Connection, cursor: Cursor, parts: Mapping[Part, str]) -> None:
    """Withhold these from the stored cursor on, each for its reason; nothing where another relay has moved it."""
    for part, reason in parts.items():
        values = {**part._asdict(), "name": NAME, "epoch": cursor.epoch, "reason": reason}
        execute(connection, _WITHHOLD, values)
        _log.warning("withheld", topic=part.topic, partition=part.partition, reason=reason)


def load_withheld(connection: Connection, cursor: Cursor) -> list[Withheld]:
    """Everything that is withheld; `cursor` is the relay's, whose floor holds here too."""
    found = fetch(
        connection,
        "SELECT topic, partition, partitions, previous::text, target::text, last_position FROM relay_withheld"
        " ORDER BY topic, partition",
    )
    return [
        Withheld(Part(*row[:3]), replace(cursor, previous=row[3], target=row[4], last_position=row[5])) for row in found
    ]


def save_withheld(connection: Connection, withheld: Withheld, published: int, *, before: Cursor) -> None:
    """Note how far it is published, if nobody else has since `before`. Raises LostLeadError."""
    moved = execute(
        connection,
        "UPDATE relay_withheld SET previous = %s::pg_snapshot, target = %s::pg_snapshot, last_position = %s,"
        " waiting = greatest(waiting - %s, 0) WHERE topic = %s AND partition = %s"
        " AND (previous::text, target::text, last_position) IS NOT DISTINCT FROM (%s::text, %s::text, %s)",
        *_place(withheld.cursor),
        published,
        *withheld.part[:2],
        *_place(before),
    )
    if moved != 1:
        message = f"what is withheld of {withheld.part.topic} has been moved by another relay"
        raise LostLeadError(message)


def _place(cursor: Cursor) -> tuple[str, str | None, int]:
    return cursor.previous, cursor.target, cursor.last_position


def release(connection: Connection, part: Part) -> None:
    """From now on the relay publishes it again with all else."""
    execute(connection, "DELETE FROM relay_withheld WHERE topic = %s AND partition = %s", *part[:2])
    _log.info("withheld_no_longer", topic=part.topic, partition=part.partition)


def count_waiting(connection: Connection, passed: Mapping[Part, int]) -> None:
    """Add what the relay's cursor has passed of each."""
    for part, count in passed.items():
        execute(
            connection,
            "UPDATE relay_withheld SET waiting = waiting + %s WHERE topic = %s AND partition = %s",
            count,
            *part[:2],
        )


def whole_topics(parts: Iterable[Part], known: Sequence[Withheld]) -> set[Part]:
    """The same parts; where with what is withheld already no partition of a topic is left, the whole topic."""
    wanted = set(parts)
    for topic, partitions in {(part.topic, part.partitions) for part in wanted if part.partition != WHOLE}:
        of_topic = {one for one in (*wanted, *(withheld.part for withheld in known)) if one.topic == topic}
        if len({one.partition for one in of_topic}) >= partitions:
            wanted = {one for one in wanted if one.topic != topic} | {Part(topic, WHOLE, 0)}
    return wanted


def find_unavailable(
    topics: Mapping[str, TopicMetadata], wanted: Iterable[str], known: Sequence[Part]
) -> dict[Part, str]:
    """Of the topics that are wanted: those that do not exist, and partitions without a leader, but for known ones."""
    found: dict[Part, str] = {}
    for name in wanted:
        topic = topics.get(name)
        if topic is None or not topic.partitions:
            found[Part(name, WHOLE, 0)] = "no such topic"
            continue
        # keys of a topic of which something is withheld are told apart as before
        partitions = next((part.partitions for part in known if part.topic == name), len(topic.partitions))
        for number, partition in topic.partitions.items():
            if partition.leader < 0 and number < partitions:
                found[Part(name, number, partitions)] = "no leader"
    return {part: reason for part, reason in found.items() if part not in known}


def find_shrunk(topics: Mapping[str, TopicMetadata], known: Iterable[Part]) -> dict[Part, str]:
    """The topics that have fewer partitions now than when parts of them were withheld: made anew, each as a whole."""
    return {
        Part(part.topic, WHOLE, 0): "made anew with fewer partitions"
        for part in known
        if part.topic in topics and 0 < len(topics[part.topic].partitions) < part.partitions
    }
