"""Fills log, projection and queues by COPY: six months of messages, in a partition for each month."""

import random
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import islice
from uuid import UUID

import msgspec

from benchmarks.histories.rows import History, copy, history
from benchmarks.histories.stories import Asked, endings, story
from benchmarks.letters import letters
from herald.outbox.message.notification import TOPIC
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_column, fetch_value
from tests.servers.postgres import connect_to_tables

SPAN = timedelta(days=180)  # from the first message to the last, whatever their number
MONTHS = 6
BATCH = 500  # messages of one transaction: as many as the committer writes at once
OTHER_TOPIC, OTHERS = "generic_topic", 10  # one of so many is no notification
_RANDOM_BITS = 74  # of a UUIDv7
QUEUES = """
INSERT INTO unfinished SELECT * FROM due_in_unfinished;
INSERT INTO waiting SELECT * FROM due_in_waiting;
INSERT INTO unsent SELECT * FROM due_in_unsent
"""
# Everything was published: a relay begins behind it.
CURSOR = """
INSERT INTO relay_cursor (name, previous, last_position, floor, epoch, system_identifier, timeline)
SELECT 'relay', pg_current_snapshot(), 0, 0, 0, system_identifier, timeline FROM instance_here()
"""


def load(url: str, count: int) -> None:
    """Fill the empty database of that URL, and leave it as tables that were vacuumed."""
    with closing(connect_to_tables(url)) as connection:
        now = datetime.now(UTC)
        _make_partitions(connection, now)
        execute(connection, "SET synchronous_commit = off")
        for histories in _histories(connection, count, now):
            copy(connection, histories)
            connection.commit()
        execute(connection, QUEUES)
        connection.commit()
        connection.autocommit = True
        execute(connection, CURSOR)
        execute(connection, "VACUUM (ANALYZE)")


def _make_partitions(connection: Connection, now: datetime) -> None:
    """As they are where Herald has worked for so long; the log is empty."""
    for name in fetch_column(connection, "SELECT name FROM partitions"):
        execute(connection, f"DROP TABLE {name}")
    for back in range(MONTHS, -1, -1):
        execute(connection, "SELECT outbox_make_partitions('1 month', %s - make_interval(months => %s))", now, back)
    connection.commit()


def _histories(connection: Connection, count: int, now: datetime) -> Iterator[list[History]]:
    """In the order in which they were accepted, so many at a time."""
    asked = _asked(count, now)
    while batch := list(islice(asked, BATCH)):
        transaction = int(fetch_value(connection, "SELECT pg_current_xact_id()::text"))
        yield [history(identity, one.at, story(kind, one), transaction=transaction) for identity, kind, one in batch]


def _asked(count: int, now: datetime) -> Iterator[tuple[UUID, str, Asked]]:
    choose, apart, first, kinds = random.Random(count), SPAN / count, now - SPAN, Counter[str]()
    for number, ((user, data), kind) in enumerate(zip(letters(count), endings(count, seed=count), strict=True)):
        topic = OTHER_TOPIC if number % OTHERS == OTHERS - 1 else TOPIC
        at = first + number * apart
        identity = _identity(at, choose.getrandbits(_RANDOM_BITS))
        yield identity, kind, Asked(topic, user, msgspec.Raw(data), at, kinds[kind])
        kinds[kind] += 1


def _identity(at: datetime, chance: int) -> UUID:
    """A UUIDv7 of that time."""
    milliseconds, (high, low) = int(at.timestamp() * 1000), divmod(chance, 1 << 62)
    return UUID(int=milliseconds << 80 | 0x7 << 76 | high << 64 | 0b10 << 62 | low)
