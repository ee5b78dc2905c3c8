"""Other producers' records that the group has read: each was adopted, or is a dead letter."""

from collections.abc import Sequence

from herald.outbox.kafka.offsets import Offsets
from herald.outbox.operate.audit.findings import Checked, Suspects
from herald.outbox.operate.audit.looking import Scope
from herald.outbox.operate.audit.records import Record
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch_column
from herald.outbox.registry import DEAD_LETTERS
from herald.pipeline.consume.decoding import Decoder
from herald.pipeline.consume.record import UNREADABLE, Arrival, ElsewhereError, SourceError

BROKEN_CLOCK = (1 << 80) - 1  # what remains of an id where the record's time was refused

_KNOWN = """
SELECT asked.id::text FROM unnest(%(ids)s::uuid[]) AS asked(id)
WHERE EXISTS (SELECT FROM outbox AS o WHERE o.stream_id = asked.id)
   OR EXISTS (SELECT FROM messages AS m WHERE m.id = asked.id)
   OR asked.id < (SELECT horizon FROM closing) AND asked.id > '00000000-0001-0000-0000-000000000000'  -- it has left
"""

Place = tuple[str, int, int]


class Foreign:
    """Records without Herald's headers, decoded as the pipeline decodes them.

    Offsets are committed after the claims, and after dead letters are acknowledged; they are read before the
    records and the database. So what stands below them is in the log under the id made from its identity, or
    on the topic `dead_letters` with its place. That topic has to be read last.
    """

    def __init__(self, connection: Connection, scope: Scope, decoder: Decoder, committed: Offsets) -> None:
        self._connection = connection
        self._scope = scope
        self._decoder = decoder
        self._committed = committed
        self._records = 0
        self._open: dict[Place, None] = {}

    def see(self, records: Sequence[Record]) -> None:
        """Look for their messages; what has none, or cannot be decoded, has to be a dead letter."""
        for record in records:
            if record.topic == DEAD_LETTERS:
                self._open.pop(_origin(record), None)
        self._look_up([record for record in records if record.topic != DEAD_LETTERS and self._is_read(record)])

    def checked(self) -> Checked:
        """What was read and never adopted."""
        places = (f"{topic}/{partition}/{offset}" for topic, partition, offset in self._open)
        says = "{count} records of other producers were read and neither adopted nor put on `dead_letters`"
        advice = "look at the topic/partition/offset, and have their producer send them again"
        found = Suspects(self._scope.limit, places).found("loss", says, advice)
        return Checked("foreign-not-adopted", f"{self._records:,} records of other producers", found)

    def _is_read(self, record: Record) -> bool:
        if record.own is not None and record.own.request is not None:
            return False
        return record.offset < self._committed.get(record.topic, {}).get(str(record.partition), 0)

    def _look_up(self, records: Sequence[Record]) -> None:
        looked_at = ((_place(record), self._ids(record)) for record in records)
        ids = {place: found for place, found in looked_at if found is not None}
        self._records += len(ids)
        asked = [one for found in ids.values() for one in found]
        known = set(fetch_column(self._connection, _KNOWN, {"ids": asked})) if asked else set()
        self._open.update({place: None for place, found in ids.items() if known.isdisjoint(found)})

    def _ids(self, record: Record) -> list[str] | None:
        """Under which it may have been adopted: a time that lay too far ahead then need not do so today.

        None for another Herald's record, which is skipped.
        """
        message, key = record.message, record.message.key()
        arrival = Arrival(
            message.value(),
            key.encode() if isinstance(key, str) else key,
            message.timestamp()[1],
            record.written,
            *_place(record),
            UNREADABLE if record.written is None else None,
        )
        try:
            found = self._decoder.decode(arrival).id
        except ElsewhereError:
            return None
        except SourceError as error:
            raise error.__cause__ or error from None
        except Exception:  # noqa: BLE001 - whatever it is, the pipeline has put the record on `dead_letters`
            return []
        return [str(found), str(type(found)(int=found.int & BROKEN_CLOCK))]


def _place(record: Record) -> Place:
    return record.topic, record.partition, record.offset


def _origin(record: Record) -> Place:
    """Where a dead letter stood; what is no such letter stood nowhere."""
    try:
        topic = record.headers["herald_topic"].decode()
        return topic, int(record.headers["herald_partition"]), int(record.headers["herald_offset"])
    except (KeyError, ValueError):
        return "", -1, -1
