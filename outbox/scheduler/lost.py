"""Requests that Kafka lost, found behind the consumer.

A request that merely waits in Kafka is never repeated, however long the pipeline was away: only what was published
where the group has read on, or Kafka has removed it, and still has no attempt was lost. (With a deadline instead, an
outage of minutes breeds copies faster than they are consumed.)
"""

from collections.abc import Sequence
from typing import NamedTuple

import structlog
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import ANSWER_TIMEOUT
from herald.outbox.kafka.offsets import partitions_of, read_committed_told, read_ends_told, read_first_told
from herald.outbox.moves.request_again import NOT_ASIDE, Choice, request_again
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch, find_one
from herald.outbox.registry import registered_topics
from herald.outbox.scheduler.behind import Behind, Page, Standing, standing_of
from herald.outbox.scheduler.gaps import Gaps, Place
from herald.outbox.scheduler.pages import forget_pages, load_pages
from herald.outbox.scheduler.unread import Unread
from herald.outbox.scheduler.widths import Widths, follow, read_widths, widths_of
from herald.outbox.settings import Settings
from herald.outbox.watched.relay import LAG

BATCH = 1_000  # pending messages looked at, and requested again, in one statement
MOST = 100_000  # pending messages looked at in one sweep; the next one goes on behind them
FIRST = "00000000-0000-0000-0000-000000000000"
_log = structlog.get_logger()

_CURSOR = """
SELECT widths, previous::text, extract(epoch FROM clock_timestamp())::float8 FROM relay_cursor WHERE name = 'relay'
"""
_CANDIDATES = f"""
SELECT messages.id::text, version, topic, key, requested_in::text::bigint
FROM unfinished AS u JOIN messages ON messages.id = u.id
WHERE status = 'pending' AND u.id > %(after)s::uuid AND topic = ANY (%(topics)s)
  AND pg_visible_in_snapshot(requested_in, %(newest)s::pg_snapshot) AND {NOT_ASIDE}
ORDER BY u.id LIMIT %(limit)s
"""
_CHOSEN = "SELECT id, version FROM unnest(%(ids)s::uuid[], %(versions)s::integer[]) AS c(id, version) LIMIT %(limit)s"


class Candidate(NamedTuple):
    """A pending message that some snapshot shows as published."""

    id: str
    version: int
    topic: str
    key: str | None
    requested_in: int


class Sweep:
    """Looks for what was lost, again and again; used by one thread."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._gaps = Gaps(settings)
        self._unread = Unread()
        self._after = FIRST

    def request_lost(self, connection: Connection, admin: AdminClient) -> int:
        """Request again what the group has passed without an attempt; returns how many.

        `connection` in autocommit. Raises KafkaException where no broker, or the group's, does not answer.
        """
        metadata, topics = admin.list_topics(timeout=ANSWER_TIMEOUT), registered_topics()
        partitions = partitions_of(metadata, topics)
        first = read_first_told(admin, metadata, topics)
        committed = read_committed_told(self._settings, partitions)
        standing = standing_of(committed, first, read_ends_told(admin, metadata, topics))
        LAG.tell(lag_of(standing))
        pages = load_pages(connection)
        standing = standing._replace(read=self._gaps.pass_over(standing.read, wanted(pages, standing)))
        self._unread.note(standing)
        behind = Behind(pages, standing, _read_widths(connection, widths_of(partitions)))
        if behind.oldest_needed is not None:
            forget_pages(connection, below=behind.oldest_needed)
        count = self._request(connection, behind)
        if count:
            _log.warning("lost_requests_repeated", messages=count)
        return count

    def _request(self, connection: Connection, behind: Behind) -> int:
        count, after = 0, self._after
        for _ in range(MOST // BATCH):
            found = read_candidates(connection, behind.newest, after=after)
            count += request_passed(connection, found, behind)
            if len(found) < BATCH:
                self._after = FIRST
                return count
            self._after = after = found[-1].id
        return count


def request_passed(connection: Connection, candidates: Sequence[Candidate], behind: Behind) -> int:
    """Request again those whose record the group has passed, in the caller's transaction; returns how many."""
    lost = [one for one in candidates if behind.has(one.topic, one.key, one.requested_in)]
    if not lost:
        return 0
    values = {"ids": [one.id for one in lost], "versions": [one.version for one in lost]}
    return len(request_again(connection, Choice(_CHOSEN, values, "'lost'"), limit=len(lost)))


def lag_of(standing: Standing) -> dict[tuple[str, ...], float]:
    """How many records of each partition the group has not read, by topic and partition."""
    return {
        (topic, number): max(0, end - standing.read[topic][number])
        for topic, numbers in standing.ends.items()
        for number, end in numbers.items()
        if number in standing.read.get(topic, {})
    }


def wanted(pages: Sequence[Page], standing: Standing) -> dict[Place, int]:
    """Up to where a partition has to be read before the newest page that names it is passed, where it is not yet."""
    found: dict[Place, int] = {}
    for page in sorted(pages):
        for topic, numbers in page.end_offsets.items():
            read, ends = standing.read.get(topic, {}), standing.ends.get(topic, {})
            found.update({(topic, one): min(end, ends[one]) for one, end in numbers.items() if one in read})
    return {place: end for place, end in found.items() if standing.read[place[0]][place[1]] < end}


def _read_widths(connection: Connection, partitions: dict[str, int]) -> Widths:
    row = find_one(connection, _CURSOR)
    if row is None:
        return {}
    stored, snapshot, at = row
    return follow(read_widths(stored), partitions, snapshot=snapshot, at=at)


def read_candidates(connection: Connection, newest: str, *, after: str) -> list[Candidate]:
    """The next pending messages of registered topics, behind that id, that the snapshot shows as published."""
    values = {"after": after, "topics": list(registered_topics()), "newest": newest, "limit": BATCH}
    return fetch(connection, _CANDIDATES, values, into=Candidate)
