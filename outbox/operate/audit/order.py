"""All checks, in the order that makes their answers comparable while the system runs.

1. Kafka: where topics begin, then how far the group has committed.
2. PostgreSQL: the cursor. All that its snapshot shows is on Kafka already.
3. PostgreSQL: what is pending. What the group had read before 1 is claimed by now.
4. Kafka: the records, up to their end now. All that the cursor had passed stands before it.
5. PostgreSQL: whether what is suspect still is.

The other checks each read what they compare in an order of their own.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Protocol

from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.offsets import Offsets, read_offsets_since
from herald.outbox.operate.audit.cursor import (
    check_clusters,
    check_cursor,
    check_ends,
    check_topics,
    check_unread,
    known_topics,
    read_cursor,
    read_ends,
    read_group,
    read_noted,
)
from herald.outbox.operate.audit.dates import (
    LATE,
    check_aside,
    check_consumers,
    check_late,
    check_partitions,
    count_requests,
)
from herald.outbox.operate.audit.findings import Checked
from herald.outbox.operate.audit.ledger import check_ledgers
from herald.outbox.operate.audit.looking import Scope
from herald.outbox.operate.audit.published import Origins, Requests
from herald.outbox.operate.audit.records import Record, See, make_reader, read_records
from herald.outbox.operate.audit.streams import check_queues, check_streams
from herald.outbox.postgres.driver import Connection
from herald.outbox.registry import DEAD_LETTERS

NOTHING_PUBLISHED = "1:1:"  # a snapshot of before everything


class Visitor(Protocol):
    """Sees every record once, in batches, and says what it found."""

    def see(self, records: Sequence[Record]) -> None:
        """Look at these; they are not kept."""

    def checked(self) -> Checked:
        """What was found."""


MakeVisitor = Callable[[Connection, Scope, Offsets], Visitor]


def audit(connection: Connection, admin: AdminClient, scope: Scope, make_foreign: MakeVisitor) -> list[Checked]:
    """Make every check; `connection` in autocommit. Raises PostgresError, KafkaException, LedgerError."""
    ledgers = check_ledgers(connection, scope) if scope.ledgers else []
    return [
        *ledgers,
        *_check_kafka(connection, admin, scope, make_foreign),
        *check_streams(connection, scope),
        check_queues(connection, scope),
        *(check_late(connection, scope, late) for late in LATE),
        check_aside(connection, scope),
        check_consumers(connection, scope),
        check_partitions(connection, scope),
        count_requests(connection, scope),
    ]


def _check_kafka(connection: Connection, admin: AdminClient, scope: Scope, make_foreign: MakeVisitor) -> list[Checked]:
    group = read_group(admin, scope)
    noted, cursor = read_noted(connection, group), read_cursor(connection)
    listed = read_ends(admin)
    committed = known_topics(group.committed, connection, admin)
    stored = cursor or {"previous": NOTHING_PUBLISHED, "floor": 0}
    requests = Requests(connection, scope, previous=stored["previous"], floor=stored["floor"], committed=committed)
    origins, foreign = Origins(connection, scope), make_foreign(connection, scope, committed)

    def see(records: Sequence[Record]) -> None:
        for visitor in (requests, origins, foreign):
            visitor.see(records)

    with closing(make_reader(scope.settings)) as consumer:
        ends = _read(consumer, _begin(admin, group.first, listed, scope), listed, see, scope)
    return [
        *requests.checked(),
        foreign.checked(),
        origins.checked(),
        check_unread(group, scope),
        check_ends(connection, admin, scope, noted, ends),
        check_topics(connection, admin),
        check_clusters(cursor, admin),
        check_cursor(cursor),
    ]


def _begin(admin: AdminClient, first: Offsets, listed: Offsets, scope: Scope) -> Offsets:
    """Where to begin: at the first record, or at the first one of the time."""
    if scope.since is None:
        return first
    partitions = {topic: [int(number) for number in numbers] for topic, numbers in listed.items()}
    since = read_offsets_since(admin, partitions, scope.first_timestamp)
    return {
        topic: {number: listed[topic][number] if offset < 0 else offset for number, offset in numbers.items()}
        for topic, numbers in since.items()
    }


def _read(consumer: Consumer, begin: Offsets, listed: Offsets, see: See, scope: Scope) -> Offsets:
    """The topics that are consumed, then the dead letters: they explain what is not adopted. Returns the ends."""
    letters = {topic: numbers for topic, numbers in listed.items() if topic == DEAD_LETTERS}
    others = {topic: numbers for topic, numbers in listed.items() if topic != DEAD_LETTERS}
    return read_records(consumer, begin, others, see, scope) | read_records(consumer, begin, letters, see, scope)
