"""What the group has passed, by topic and partition: the decision alone."""

import pytest

from herald.outbox.kafka.offsets import Offsets
from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.postgres.snapshot import Snapshot
from herald.outbox.postgres.statements import fetch
from herald.outbox.scheduler.behind import Behind, Page, standing_of
from herald.outbox.scheduler.widths import KNOWN_WITHIN, Width, follow
from tests.outbox.connections import connected

TOPIC = "notifications"
OLD, NEW = "5:5:", "9:9:"  # the first shows the transactions below 5, the second those below 9
PUBLISHED = 7  # a transaction that only the newer one shows
KEYS = {
    number: next(key for key in map(str, range(99)) if partition_of(key.encode(), 2) == number) for number in (0, 1)
}


def offsets(*numbers: int | None) -> Offsets:
    """Of one topic, by partition; None is left out."""
    return {TOPIC: {str(place): offset for place, offset in enumerate(numbers) if offset is not None}}


def behind(
    committed: Offsets,
    *pages: Page,
    first: Offsets | None = None,
    ends: Offsets | None = None,
    since: str | None = None,
) -> Behind:
    standing = standing_of(committed, first or offsets(0, 0), ends or offsets(99, 99))
    return Behind(pages, standing, {TOPIC: Width(2, since=since)})


@pytest.mark.parametrize(
    ("committed", "passed"),
    [((5, 5), (True, True, True)), ((5, 4), (True, False, False)), ((None, 9), (False, True, False))],
)
def test_a_partition_is_passed_once_the_group_has_read_up_to_its_noted_end(
    committed: tuple[int | None, int], passed: tuple[bool, bool, bool]
) -> None:
    """Of both keys in their partitions, and without a key, which may be in either."""
    found = behind(offsets(*committed), Page(1, NEW, offsets(5, 5)))

    assert tuple(found.has(TOPIC, key, PUBLISHED) for key in (KEYS[0], KEYS[1], None)) == passed


def test_what_the_snapshot_does_not_show_is_not_passed() -> None:
    found = behind(offsets(5, 5), Page(1, OLD, offsets(5, 5)))

    assert [found.has(TOPIC, KEYS[0], requested_in) for requested_in in (4, PUBLISHED)] == [True, False]


def test_what_kafka_removed_unread_is_passed() -> None:
    """By the higher of committed and log start, in the partition alone of which it was removed."""
    found = behind({}, Page(1, NEW, offsets(5, 5)), first=offsets(5, 3))

    assert [found.has(TOPIC, key, PUBLISHED) for key in (KEYS[0], KEYS[1], None)] == [True, False, False]


def test_an_empty_partition_asks_for_nothing() -> None:
    found = behind(offsets(5, None), Page(1, NEW, offsets(5, 0)))

    assert found.has(TOPIC, None, PUBLISHED)


def test_what_a_partition_lost_at_its_end_does_not_count_as_unread() -> None:
    found = behind(offsets(3, 5), Page(1, NEW, offsets(5, 5)), ends=offsets(3, 5))

    assert found.has(TOPIC, KEYS[0], PUBLISHED)


def test_what_was_committed_of_a_log_that_was_lost_says_nothing_of_the_new_one() -> None:
    """Its broker lost its disk, and three new records stand there: the consumer begins anew."""
    before, after = Page(1, OLD, offsets(9, 5)), Page(2, NEW, offsets(3, 5))

    unread = behind(offsets(9, 5), before, after, ends=offsets(3, 5))
    read = behind(offsets(3, 5), before, after, ends=offsets(3, 5))

    assert [found.has(TOPIC, KEYS[0], at) for found in (unread, read) for at in (4, PUBLISHED)] == [
        *(False, False),
        *(True, True),
    ]


def test_a_partition_that_does_not_tell_its_end_holds_up_no_other() -> None:
    found = behind(offsets(5, 5), Page(1, NEW, offsets(5, 5)), first=offsets(0, None), ends=offsets(5, None))

    assert [found.has(TOPIC, key, PUBLISHED) for key in (KEYS[0], KEYS[1], None)] == [True, False, False]


def test_a_page_says_nothing_about_a_partition_that_it_does_not_name() -> None:
    found = behind(offsets(5, 5), Page(2, NEW, offsets(5, None)), Page(1, OLD, offsets(5, 5)))

    assert [found.has(TOPIC, key, PUBLISHED) for key in (KEYS[0], KEYS[1], None)] == [True, False, False]
    assert [found.has(TOPIC, key, 4) for key in (KEYS[0], KEYS[1], None)] == [True, True, True]


def test_what_is_on_a_topic_without_a_consumer_is_never_passed() -> None:
    found = behind(offsets(5, 5), Page(1, NEW, {**offsets(5, 5), "removed": {"0": 0}}))

    assert not found.has("removed", "ada", PUBLISHED)


def test_the_newest_passed_page_of_each_partition_counts() -> None:
    found = behind(offsets(9, 5), Page(2, NEW, offsets(9, 9)), Page(1, OLD, offsets(5, 5)))

    assert [found.has(TOPIC, key, PUBLISHED) for key in (KEYS[0], KEYS[1], None)] == [True, False, False]
    assert found.newest == NEW


def test_pages_are_needed_until_every_partition_has_passed_a_newer_one() -> None:
    pages = [Page(epoch, NEW, offsets(epoch, epoch)) for epoch in range(1, 6)]

    needed = [behind(offsets(*read), *pages).oldest_needed for read in ((5, 5), (5, 3), (5, 0))]

    assert needed == [5, 3, None]


def test_what_was_requested_before_the_number_of_partitions_changed_is_judged_as_if_without_a_key() -> None:
    found = behind(offsets(5, 4), Page(1, NEW, offsets(5, 5)), since=OLD)

    assert [found.has(TOPIC, KEYS[0], requested_in) for requested_in in (4, PUBLISHED)] == [False, True]


def test_the_number_of_partitions_counts_once_every_producer_knows_of_it() -> None:
    widths = [follow({}, {TOPIC: 2}, snapshot="1:1:", at=0.0)]
    for snapshot, at in (("5:5:", 10.0), ("7:7:", 11.0), ("9:9:", 10.0 + KNOWN_WITHIN)):
        widths.append(follow(widths[-1], {TOPIC: 3}, snapshot=snapshot, at=at))

    assert [one[TOPIC] for one in widths] == [
        Width(2),
        Width(3, changed_at=10.0),
        Width(3, changed_at=10.0),
        Width(3, since="9:9:"),
    ]
    assert [one[TOPIC].may_be_elsewhere(8) for one in widths] == [False, True, True, True]
    assert not widths[-1][TOPIC].may_be_elsewhere(9)


@pytest.mark.parametrize("text", ["10:10:", "10:14:10,12", "10:20:11,13,19"])
def test_a_snapshot_shows_what_postgresql_says_it_does(database: str, text: str) -> None:
    snapshot, ids = Snapshot(text), range(8, 23)

    with connected(database) as connection:
        said = fetch(
            connection,
            "SELECT pg_visible_in_snapshot(id::text::xid8, %s::pg_snapshot) FROM unnest(%s) AS id",
            text,
            list(ids),
        )

    assert [snapshot.shows(one) for one in ids] == [shown for (shown,) in said]
