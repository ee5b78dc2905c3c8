"""Herald's own records and the log, in both directions.

Requests that were published and are not on Kafka, or were read by the group and not claimed; and records whose event
the log does not have: Kafka knows of something that was never recorded.
"""

from collections.abc import Sequence

import msgspec

from herald.outbox.kafka.offsets import Offsets
from herald.outbox.operate.audit.findings import Checked, Suspects
from herald.outbox.operate.audit.looking import Scope
from herald.outbox.operate.audit.records import Record
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch, fetch_column

MOST = 500_000  # pending messages looked for, the oldest first; some 200 bytes of memory each

# Published: an event that asks for this very request, above the floor and within the cursor's snapshot, and not set
# aside. (What was adopted or recovered has its record from elsewhere.)
_PENDING = """
SELECT m.id::text, m.request, pg_visible_in_snapshot(m.requested_in, %(previous)s::pg_snapshot) AND EXISTS (
    SELECT FROM outbox AS o
    WHERE o.stream_id = m.id AND o.type = 'message.requested' AND o.topic IS NOT NULL AND o.position > %(floor)s
      AND o.payload ->> 'request' = m.request::text
      AND NOT EXISTS (SELECT FROM set_aside AS s WHERE s.stream_id = o.stream_id AND s.version = o.version)
) AS is_published
FROM unfinished AS u JOIN messages AS m ON m.id = u.id
WHERE m.status = 'pending' AND u.id >= %(first_id)s::uuid ORDER BY u.id LIMIT %(most)s
"""
_STILL = """
SELECT m.id::text FROM unnest(%(ids)s::uuid[], %(requests)s::integer[]) AS asked(id, request)
JOIN messages AS m ON m.id = asked.id
WHERE m.status = 'pending' AND m.request = asked.request
  AND (m.deliver_by IS NULL OR m.deliver_by > clock_timestamp())
  AND m.updated_at <= clock_timestamp() - make_interval(secs => %(grace)s)
ORDER BY m.id
"""
# Where a stream begins later (carried over, recovered), what came before has left with its partition; of what has
# ended, all has left. The horizon is read in the same snapshot: a closing of the books moves both at once.
_UNKNOWN = """
SELECT asked.stream_id::text, asked.version, o.type
FROM unnest(%(streams)s::uuid[], %(versions)s::integer[], %(types)s::text[]) AS asked(stream_id, version, type)
LEFT JOIN outbox AS o ON o.stream_id = asked.stream_id AND o.version = asked.version
WHERE o.type IS DISTINCT FROM asked.type AND o.type IS DISTINCT FROM 'message.recovered'
  AND asked.version >= coalesce((SELECT min(version) FROM outbox AS f WHERE f.stream_id = asked.stream_id), 1)
  AND (asked.stream_id >= (SELECT horizon FROM closing)
       OR EXISTS (SELECT FROM outbox AS f WHERE f.stream_id = asked.stream_id))
"""


class Pending(msgspec.Struct):
    """A message that waits for its claim, and what is known of the record that asks for it."""

    request: int
    is_published: bool
    is_there: bool = False
    is_read: bool = False


class Requests:
    """What is pending, looked for on Kafka.

    Published and gone: the cursor is read first, and the relay saves it only over pages that Kafka has
    acknowledged; then every partition is read to its end. A request that the cursor had passed has its record
    before it. Whoever is still pending after that, with the same request, waits for a
    record that does not exist.

    Read and not claimed: the committed offsets are read before the database, and they are committed only
    after the claims. A message that is pending though its record stands below them was passed by. (One
    whose deliver_by is over is left by the claim to expire.)

    Both are found by the scheduler as well, behind the consumer: only what is older than `grace` counts.
    """

    def __init__(self, connection: Connection, scope: Scope, *, previous: str, floor: int, committed: Offsets) -> None:
        self._connection = connection
        self._scope = scope
        self._committed = committed
        values = {**scope.values, "previous": previous, "floor": floor, "most": MOST}
        found = fetch(connection, _PENDING, values)
        self._pending = {name: Pending(request, is_published) for name, request, is_published in found}

    def see(self, records: Sequence[Record]) -> None:
        """Strike off what is there."""
        for record in records:
            own = record.own
            if own is None or (pending := self._pending.get(own.stream)) is None or pending.request != own.request:
                continue
            pending.is_there = True
            if record.offset < self._committed.get(record.topic, {}).get(str(record.partition), 0):
                pending.is_read = True

    def checked(self) -> list[Checked]:
        """Look again at what is suspect, now that Kafka was read."""
        pending = self._pending.items()
        gone = self._still([one for one, its in pending if its.is_published and not its.is_there])
        passed = self._still([one for one, its in pending if its.is_read])
        published = sum(its.is_published for its in self._pending.values())
        again = "`herald audit --repair --yes` requests them again; a running relay does so behind the consumer"
        lost = "{count} pending requests were published and are not on Kafka"
        past = "{count} pending requests whose record the group has read, without an attempt"
        return [
            Checked("not-on-kafka", f"{published:,} pending and published", gone.found("loss", lost, again, "request")),
            Checked("read-past", f"{len(self._pending):,} pending", passed.found("loss", past, again, "request")),
        ]

    def _still(self, ids: list[str]) -> Suspects:
        """Those of them that are pending with the same request, for longer than the grace."""
        values = {**self._scope.values, "ids": ids, "requests": [self._pending[one].request for one in ids]}
        return Suspects(self._scope.limit, fetch_column(self._connection, _STILL, values) if ids else [])


class Origins:
    """Own records, compared with the log batch by batch.

    An event is committed before the relay can read it, and a record is read here before its event is looked
    up: the log cannot be behind. What a fail-over lost is such a case, and stays one until the records are
    gone: the pipeline recovers whole messages, not single events.
    """

    def __init__(self, connection: Connection, scope: Scope) -> None:
        self._connection = connection
        self._records = 0
        self._unknown, self._other = Suspects(scope.limit), Suspects(scope.limit)

    def see(self, records: Sequence[Record]) -> None:
        """Look their events up."""
        named = list({record.own for record in records if record.own is not None})
        self._records += len(named)
        asked = {
            "streams": [own.stream for own in named],
            "versions": [own.version for own in named],
            "types": [own.type for own in named],
        }
        for stream, version, found in fetch(self._connection, _UNKNOWN, asked) if named else []:
            (self._unknown if found is None else self._other).add(f"{stream}.{version}")

    def checked(self) -> Checked:
        """What was seen."""
        advice = "was there a fail-over, or a restore? Compare with `GET /messages/ID/events`, then bound with --since"
        unknown, other = "{count} events on Kafka that the log does not have", "{count} that are others in the log"
        found = [*self._unknown.found("loss", unknown, advice), *self._other.found("contradiction", other, advice)]
        return Checked("not-in-log", f"{self._records:,} records of Herald", found)
