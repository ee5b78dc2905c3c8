"""What can be known about a test's messages, and what it proves."""

from collections.abc import Collection, Iterable, Sequence
from uuid import UUID

from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from herald.outbox.message.state import FINAL
from herald.pipeline.consume.decoding import Decoder
from herald.pipeline.testing import losses
from herald.pipeline.testing.journal import Journal
from herald.pipeline.testing.losses import Streams, history
from herald.pipeline.testing.records import Place, Records

SHOWN = 10  # messages with their histories in one report
_OPEN = """
SELECT id::text, topic, status, due_at,
       status IN ('scheduled', 'failed') AND due_at > clock_timestamp() + make_interval(secs => %(within)s)
FROM messages WHERE status <> ALL (%(final)s) ORDER BY id
"""


class Evidence:
    """Reads log, table, Kafka and journal; changes nothing.

    `connection` is read-only in REPEATABLE READ: a look is one snapshot.
    """

    def __init__(
        self, connection: Connection, records: Records, decoder: Decoder, journal: Journal, *, source: str
    ) -> None:
        self._connection = connection
        self._records = records
        self._decoder = decoder
        self._journal = journal
        self._source = source
        self.streams: Streams = {}

    def unfinished(self, *, within: float = 0.0) -> tuple[list[str], bool]:
        """The messages that are not over, one line each; whether none of them will be touched for so many seconds."""
        with self._connection.cursor() as cursor:
            cursor.execute(_OPEN, {"final": list(FINAL), "within": within})
            rows = cursor.fetchall()
        self._connection.rollback()
        lines = [f"{one} on {topic} is {status}{_until(due_at)}" for one, topic, status, due_at, _ in rows]
        return lines, bool(rows) and all(is_far for *_, is_far in rows)

    def missing_on_kafka(self, published: Iterable[Place]) -> list[str]:
        """Events that are not on Kafka yet, records that nobody has taken over, one line each."""
        arrivals = self._records.read()
        self.streams = losses.read_streams(self._connection)
        events = losses.unpublished(self._connection, arrivals, self._source)
        self._connection.rollback()
        seen = {(one.topic, one.partition, one.offset) for one in arrivals}
        left = losses.unadopted(arrivals, self._decoder, self.streams, self._source)
        return [
            *(f"event {event} is not on Kafka" for event in sorted(events)),
            *(f"record {place} was published and is not on Kafka" for place in published if place not in seen),
            *(f"record {place} is neither adopted nor on the dead letters" for place in left),
        ]

    def complaints(
        self, accepted: Collection[UUID], published: Collection[Place], arrived: Collection[UUID] | None
    ) -> list[str]:
        """Everything that is wrong, with the histories of the messages concerned."""
        lines = self.missing_on_kafka(published)
        calls = self._journal.calls()
        found = [
            *losses.check_accepted(accepted, self.streams),
            *losses.check_streams(self._connection, self.streams),
            *losses.check_attempts(self.streams),
            *losses.check_calls(self.streams, calls),
            *(losses.check_arrived(self.streams, calls, arrived) if arrived is not None else ()),
        ]
        self._connection.rollback()
        return lines + self._with_histories(found)

    def _with_histories(self, found: Sequence[tuple[UUID, str]]) -> list[str]:
        by_message: dict[UUID, list[str]] = {}
        for one, complaint in found:
            by_message.setdefault(one, []).append(complaint)
        lines = []
        for number, (one, complaints) in enumerate(by_message.items()):
            lines += [f"message {one} {complaint}" for complaint in complaints]
            if number < SHOWN:
                lines += history(self.streams.get(one, []))
        return lines


def _until(due_at: object) -> str:
    return f" (until {due_at})" if due_at else ""
