"""Notes how far was published: a snapshot, and where each partition ended after all that it shows was there."""

import json
from collections.abc import Collection
from dataclasses import dataclass
from time import monotonic

from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import ANSWER_TIMEOUT
from herald.outbox.kafka.offsets import Offsets, partitions_of, read_ends_told
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch, find_one
from herald.outbox.registry import registered_topics
from herald.outbox.scheduler.behind import Page
from herald.outbox.scheduler.widths import Widths, follow, read_widths, save_widths, widths_of

LOOK_AGAIN = 10.0  # seconds after which a page that lacked nothing is compared with the partitions there are now
MOST_PAGES = 256  # more are thinned out: then what was lost is found up to some pages later

# The cursor first, the offsets after it: these can only be too high, which only waits longer.
_CURSOR = """
SELECT c.epoch, c.previous::text, c.widths, extract(epoch FROM clock_timestamp())::float8,
    coalesce(p.end_offsets, '{}'),
    (SELECT coalesce(jsonb_agg(jsonb_build_array(topic, partition, partitions)), '[]') FROM relay_withheld)
FROM relay_cursor AS c LEFT JOIN relay_pages AS p ON p.epoch = c.epoch
WHERE c.name = 'relay' AND c.epoch >= (SELECT coalesce(max(epoch), -1) FROM relay_pages)
"""
_NOTE = """
INSERT INTO relay_pages (epoch, snapshot, end_offsets) VALUES (%s, %s::pg_snapshot, %s::jsonb)
ON CONFLICT (epoch) DO UPDATE SET end_offsets = excluded.end_offsets
"""
# Every second one but the newest: what is thinned out again and again stands ever further apart, the older the further.
_THIN = """
DELETE FROM relay_pages WHERE epoch IN (
    SELECT epoch FROM (
        SELECT epoch, row_number() OVER (ORDER BY epoch DESC) AS place, count(*) OVER () AS pages FROM relay_pages
    ) AS listed WHERE pages > %s AND place %% 2 = 0
)
"""


@dataclass(frozen=True, slots=True)
class Published:
    """The stored cursor: all that `snapshot` shows was published; `noted` are the ends noted of it so far."""

    epoch: int
    snapshot: str
    widths: Widths
    at: float
    noted: Offsets
    withheld: frozenset[tuple[str, int, int]]  # topic, partition or -1 for all, partitions: the cursor passes these


class Pages:
    """Notes a page for each cursor that is stored; used by one thread.

    A partition that does not tell its end is left out of the page, and asked again until it does or the cursor
    moves on; so is one that was added. Nothing waits for traffic. (The embedded broker tells some ends too low; what
    that costs is a request too many.)
    """

    def __init__(self) -> None:
        self._complete: int | None = None  # the epoch of the last page that lacks nothing
        self._look_again = 0.0

    def note(self, connection: Connection, admin: AdminClient) -> None:
        """Note what is new; `connection` in autocommit. Raises KafkaException where no broker answers."""
        published = _read_cursor(connection)
        if published is None or (published.epoch == self._complete and monotonic() < self._look_again):
            return
        metadata, topics = admin.list_topics(timeout=ANSWER_TIMEOUT), registered_topics()
        partitions = partitions_of(metadata, topics)
        widths = _save_widths(connection, published, widths_of(partitions))
        told = published_of(read_ends_told(admin, metadata, topics), published.withheld, widths)
        ends = {name: {**told.get(name, {}), **published.noted.get(name, {})} for name in told | published.noted}
        if ends != published.noted:
            _note(connection, Page(published.epoch, published.snapshot, ends))
        is_complete = all(len(ends.get(name, {})) >= width.partitions for name, width in widths.items())
        is_settled = not any(width.changed_at for width in widths.values())
        self._complete = published.epoch if is_complete and is_settled else None
        self._look_again = monotonic() + LOOK_AGAIN


def published_of(ends: Offsets, withheld: Collection[tuple[str, int, int]], widths: Widths) -> Offsets:
    """The ends of what is not withheld: below them stands all that the snapshot shows of the partition.

    Of a topic that has another number of partitions by now nothing counts: keys are still told apart by the former one.
    """
    kept = dict(ends)
    for topic, partition, partitions in withheld:
        if topic not in kept:
            continue
        is_as_it_was = partition >= 0 and topic in widths and widths[topic].partitions == partitions
        left = {number: end for number, end in kept[topic].items() if is_as_it_was and int(number) != partition}
        kept[topic] = left
    return {topic: numbers for topic, numbers in kept.items() if numbers}


def load_pages(connection: Connection) -> list[Page]:
    """Those that are noted."""
    return fetch(connection, "SELECT epoch, snapshot::text, end_offsets FROM relay_pages", into=Page)


def forget_pages(connection: Connection, *, below: int) -> None:
    """Forget those of earlier epochs."""
    execute(connection, "DELETE FROM relay_pages WHERE epoch < %s", below)


def forget_topics(connection: Connection, topics: list[str]) -> None:
    """Forget what was noted of these: it speaks of offsets that no longer exist."""
    execute(connection, "UPDATE relay_pages SET end_offsets = end_offsets - %s::text[]", topics)


def _read_cursor(connection: Connection) -> Published | None:
    row = find_one(connection, _CURSOR)
    if row is None:
        return None
    epoch, snapshot, widths, at, noted, withheld = row
    return Published(epoch, snapshot, read_widths(widths), at, noted, frozenset(map(tuple, withheld)))


def _save_widths(connection: Connection, published: Published, found: dict[str, int]) -> Widths:
    widths = follow(published.widths, found, snapshot=published.snapshot, at=published.at)
    known = {**published.widths, **widths}
    if known != published.widths:
        save_widths(connection, known)
    return widths


def _note(connection: Connection, page: Page) -> None:
    execute(connection, _NOTE, page.epoch, page.snapshot, json.dumps(page.end_offsets))
    execute(connection, _THIN, MOST_PAGES)
