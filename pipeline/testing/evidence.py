"""Whether anything was lost: what was accepted, what the log says, what is on Kafka, and what was called, compared."""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from itertools import groupby
from uuid import UUID

import msgspec

from herald.outbox.message.events import Recorded, Started
from herald.outbox.message.state import FINAL, fold
from herald.outbox.operate.audit.streams import ROW, Row, columns_of, differences, has_gap
from herald.outbox.postgres.connections import connect
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.log import read_log
from herald.outbox.postgres.statements import fetch, fetch_column, fetch_named
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.settings import Settings
from herald.pipeline.consume.decoding import Decoder
from herald.pipeline.consume.record import Arrival, UndecodableError
from herald.pipeline.load import make_decoder
from herald.pipeline.testing.journal import Journal
from herald.pipeline.testing.records import Place, Records, reading

REPORTED = 10  # messages with their histories in one report
SHOWN = ("cause", "attempt", "reason", "due_at", "lease_until")  # of an event in a history
_OPEN = """
SELECT id::text, topic, status, due_at,
       has_date(status) AND due_at > clock_timestamp() + make_interval(secs => %(within)s)
FROM messages WHERE status <> ALL (%(final)s) ORDER BY id
"""
_PUBLISHED = "SELECT stream_id || '.' || version FROM outbox WHERE topic IS NOT NULL"

Streams = dict[UUID, list[Recorded]]


class Evidence:
    """Reads log, table, Kafka and journal; changes nothing.

    `connection` is read-only in REPEATABLE READ: a look is one snapshot.
    """

    def __init__(self, connection: Connection, records: Records, decoder: Decoder, journal: Journal) -> None:
        self._connection = connection
        self._records = records
        self._decoder = decoder
        self._journal = journal

    def unfinished(self, *, within: float = 0.0) -> tuple[list[str], bool]:
        """The messages that are not over, one line each; whether none of them will be touched for so many seconds."""
        with self._connection:
            rows = fetch(self._connection, _OPEN, {"final": list(FINAL), "within": within})
        dates = (f" (until {row[3]})" if row[3] else "" for row in rows)
        lines = [f"{row[0]} on {row[1]} is {row[2]}{date}" for row, date in zip(rows, dates, strict=True)]
        return lines, bool(rows) and all(is_far for *_, is_far in rows)

    def missing_on_kafka(self, published: Iterable[Place]) -> list[str]:
        """Events that are not on Kafka yet, records that nobody has taken over, one line each."""
        self._records.read()  # first: what is adopted, is so in a later snapshot
        with self._connection:
            return self._missing(published, self._streams())

    def complaints(
        self, accepted: Collection[UUID], published: Iterable[Place], arrived: Iterable[UUID] | None
    ) -> list[str]:
        """Everything that is wrong, with the histories of the messages concerned."""
        self._records.read()
        with self._connection:
            streams = self._streams()
            lines = self._missing(published, streams)
            rows = {UUID(row["id"]): row for row in fetch_named(self._connection, f"SELECT {ROW} FROM messages")}
        calls = self._journal.calls()
        called, returned = Counter(call.id for call in calls), Counter(call.id for call in calls if call.is_returned)
        there = None if arrived is None else Counter(arrived)
        reported = 0
        for one in {**dict.fromkeys(accepted), **streams, **rows, **(there or {})}:
            events = streams.get(one, [])
            found = [
                *_stream_against_row(events, rows.get(one), is_accepted=one in accepted),
                *_stream_against_calls(events, called[one], returned[one], None if there is None else there[one]),
            ]
            lines += [f"message {one} {complaint}" for complaint in found]
            reported += bool(found)
            if found and reported <= REPORTED:
                lines += map(_line, events)
        return lines

    def _streams(self) -> Streams:
        log = groupby(read_log(self._connection), key=lambda event: event.stream_id)
        return {stream: list(events) for stream, events in log}

    def _missing(self, published: Iterable[Place], streams: Streams) -> list[str]:
        wanted = set(fetch_column(self._connection, _PUBLISHED))
        gone = [place for place in published if place not in self._records.arrivals]
        return [
            *(f"event {event} is not on Kafka" for event in sorted(wanted - self._records.events)),
            *(f"record {place} was published and is not on Kafka" for place in gone),
            *(f"record {place} is neither adopted nor on the dead letters" for place in self._unadopted(streams)),
        ]

    def _unadopted(self, streams: Streams) -> Iterator[Place]:
        for place, arrival in self._records.arrivals.items():
            is_settled = arrival.topic == DEAD_LETTERS or place in self._records.buried
            if not is_settled and self._asks_for(arrival) not in streams:
                yield place

    def _asks_for(self, arrival: Arrival) -> UUID | None:
        try:
            return self._decoder.decode(arrival).id
        except UndecodableError:
            return None


@contextmanager
def collected(settings: Settings, journal: Journal) -> Iterator[Evidence]:
    """For topics that exist. Raises KafkaException, PostgresError."""
    with ExitStack() as opened:
        looking, asking = (opened.enter_context(closing(connect(settings, "herald-testing"))) for _ in range(2))
        looking.set_session(isolation_level="REPEATABLE READ", readonly=True)
        asking.autocommit = True
        yield Evidence(looking, opened.enter_context(reading(settings)), make_decoder(settings, asking), journal)


def _stream_against_row(events: list[Recorded], row: Row | None, *, is_accepted: bool) -> Iterator[str]:
    if not events:
        if is_accepted:
            yield "was accepted and is not in the log"
        if row:
            yield "has a row in `messages` and no event in the log"
        return
    if has_gap(events):  # its fold means nothing
        yield f"has a gap in its stream: versions {[event.version for event in events]}"
    elif row is None:
        yield "has events and no row in `messages`"
    else:
        folded = fold(events)
        for name in differences(folded, row):
            yield f"its row has {name} {row[name]!r}, its events say {columns_of(folded)[name]!r}"
        if folded.status not in FINAL:
            date = f" (until {folded.due_at:%Y-%m-%d %H:%M:%S%z})" if folded.due_at else ""
            yield f"is not over: {folded.status}{date}"
    begun = {event.event.attempt for event in events if isinstance(event.event, Started)}
    others = [event.event for event in events if not isinstance(event.event, Started)]
    settled = {attempt for event in others if (attempt := getattr(event, "attempt", None)) is not None}
    if begun != settled:
        yield f"attempts {sorted(begun)} began, outcomes are recorded of {sorted(settled)}"


def _stream_against_calls(events: list[Recorded], calls: int, returned: int, arrived: int | None) -> Iterator[str]:
    is_sent = bool(events) and not has_gap(events) and fold(events).status == "sent"
    if is_sent and not returned:
        yield "is sent, and no call of its handler or channel returned"
    if is_sent and arrived == 0:
        yield "is sent and never arrived: its handler or channel returned without having done its work"
    if arrived is not None and arrived > calls:
        yield f"arrived {arrived} times, its handler or channel was called {calls} times"


def _line(recorded: Recorded) -> str:
    """An event for people."""
    said = {name: getattr(recorded.event, name, None) for name in SHOWN}
    details = "".join(f" {name}={msgspec.to_builtins(value)}" for name, value in said.items() if value is not None)
    return f"    {recorded.version}. {recorded.recorded_at:%H:%M:%S.%f} {recorded.event.TYPE}{details}"
