"""Whether anything was lost: what was accepted, what the log says, what is on Kafka, and what was called, compared.

Each check returns complaints, one line each; none is good.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from uuid import UUID

import msgspec
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from herald.outbox.message.events import Recorded, Started
from herald.outbox.message.state import FINAL, Message, fold
from herald.outbox.operate.audit.streams import ROW, Row, as_row, columns_of, differences, has_gap
from herald.outbox.postgres.log import read_log
from herald.outbox.registry import DEAD_LETTERS
from herald.pipeline.consume.decoding import Decoder
from herald.pipeline.consume.record import Arrival, Undecodable
from herald.pipeline.testing.journal import Call
from herald.pipeline.testing.records import Place, origin

SHOWN = ("cause", "attempt", "reason", "due_at", "lease_until")  # of an event in a history
_PUBLISHED = "SELECT stream_id || '.' || version FROM outbox WHERE topic IS NOT NULL"

Streams = dict[UUID, list[Recorded]]
Complaints = Iterator[tuple[UUID, str]]  # which message, and what is wrong with it


def read_streams(connection: Connection) -> Streams:
    """The whole log, by message."""
    return {stream: list(events) for stream, events in groupby(read_log(connection), key=lambda one: one.stream_id)}


def check_accepted(accepted: Iterable[UUID], streams: Streams) -> Complaints:
    """What the test was answered for is in the log, and has come to its end."""
    for one in accepted:
        if one not in streams:
            yield one, "was accepted and is not in the log"


def check_streams(connection: Connection, streams: Streams) -> Complaints:
    """Each stream has all its versions, each row is the fold of its stream, each message is final."""
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {ROW} FROM messages")
        rows = {UUID(row[0]): as_row(row) for row in cursor}
    for one in rows.keys() - streams.keys():
        yield one, "has a row in `messages` and no event in the log"
    for one, events in streams.items():
        if has_gap(events):
            yield one, f"has a gap in its stream: versions {[event.version for event in events]}"
        elif one not in rows:
            yield one, "has events and no row in `messages`"
        else:
            yield from _check_row(fold(events), rows[one])


def _check_row(folded: Message, row: Row) -> Complaints:
    said = columns_of(folded)
    for name in differences(folded, row):
        yield folded.id, f"its row has {name} {row[name]!r}, its events say {said[name]!r}"
    if folded.status not in FINAL:
        date = f" (until {folded.due_at:%Y-%m-%d %H:%M:%S%z})" if folded.due_at else ""
        yield folded.id, f"is not over: {folded.status}{date}"


def check_attempts(streams: Streams) -> Complaints:
    """Each attempt that began has an outcome, or is known to be unknown."""
    for one, events in streams.items():
        started = {event.event.attempt for event in events if isinstance(event.event, Started)}
        settled = {attempt for event in events if (attempt := _settles(event)) is not None}
        if started != settled:
            yield one, f"attempts {sorted(started)} began, outcomes are recorded of {sorted(settled)}"


def _settles(recorded: Recorded) -> int | None:
    return None if isinstance(recorded.event, Started) else getattr(recorded.event, "attempt", None)


def unpublished(connection: Connection, arrivals: Sequence[Arrival], source: str) -> set[str]:
    """Of the events that belong on Kafka, those that are not there."""
    with connection.cursor() as cursor:
        cursor.execute(_PUBLISHED)
        wanted = {event for (event,) in cursor.fetchall()}
    return wanted - {origin(one, source).event for one in arrivals}


def unadopted(arrivals: Sequence[Arrival], decoder: Decoder, known: Iterable[UUID], source: str) -> list[Place]:
    """Of the records of other producers, those that are neither a message nor on the dead letters."""
    adopted = set(known)
    buried = {origin(one, source).buried for one in arrivals if one.topic == DEAD_LETTERS}
    places = []
    for one in arrivals:
        place = one.topic, one.partition, one.offset
        if one.topic != DEAD_LETTERS and place not in buried and _asks_for(one, decoder) not in adopted:
            places.append(place)
    return places


def _asks_for(arrival: Arrival, decoder: Decoder) -> UUID | None:
    try:
        return decoder.decode(arrival).id
    except Undecodable:
        return None


def check_calls(streams: Streams, calls: Sequence[Call]) -> Complaints:
    """What is sent was handed to its handler or channel, and that returned."""
    returned = {call.id for call in calls if call.is_returned}
    for one, events in streams.items():
        if _is_sent(events) and one not in returned:
            yield one, "is sent, and no call of its handler or channel returned"


def check_arrived(streams: Streams, calls: Sequence[Call], arrived: Iterable[UUID]) -> Complaints:
    """What is sent has arrived outside, and nothing else has, nor more often than it was called."""
    there, called = Counter(arrived), Counter(call.id for call in calls)
    for one, events in streams.items():
        if _is_sent(events) and not there[one]:
            yield one, "is sent and never arrived: its handler or channel returned without having done its work"
    for one, times in there.items():
        if times > called[one]:
            yield one, f"arrived {times} times, its handler or channel was called {called[one]} times"


def _is_sent(events: list[Recorded]) -> bool:
    """A stream with a gap is complained of as such: its fold means nothing."""
    return not has_gap(events) and fold(events).status == "sent"


def history(events: Iterable[Recorded]) -> list[str]:
    """A stream for people: one event per line."""
    return [_line(recorded) for recorded in events]


def _line(recorded: Recorded) -> str:
    said = {name: getattr(recorded.event, name, None) for name in SHOWN}
    details = "".join(f" {name}={msgspec.to_builtins(value)}" for name, value in said.items() if value is not None)
    return f"    {recorded.version}. {recorded.recorded_at:%H:%M:%S.%f} {recorded.event.TYPE}{details}"
