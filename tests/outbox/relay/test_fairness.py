"""What the relay publishes ahead of the pipeline, what waits in line instead, and when that has its turn."""

from collections.abc import Iterator, Sequence
from uuid import UUID, uuid4

import pytest

from herald.outbox.message.dates import Dates
from herald.outbox.moves.accept import Acceptance, make_acceptance
from herald.outbox.moves.cancel import cancel
from herald.outbox.moves.claim import Record, claim
from herald.outbox.moves.pauses import pause
from herald.outbox.moves.record import Outcome, record_outcomes
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch, fetch_column, fetch_value
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.relay.fairness import NO_LINES, OF_A_KEY, OF_A_TOPIC, Fairness
from herald.outbox.relay.reader import Row
from herald.outbox.scheduler.due import request_due
from herald.outbox.scheduler.lines import PORTION, SHARE, STUCK, Lines
from tests.outbox.connections import (
    accepted,
    compared,
    connected,
    execute_and_commit,
    make_settings,
    notification,
    status_of,
    types_of,
)

HOOK = "webhook:hooks.example.com"
SETTINGS = make_settings("postgresql://nowhere/herald")


@pytest.fixture
def connection(database: str) -> Iterator[Connection]:
    with compared(database) as connection:
        yield connection


def page(connection: Connection, acceptances: Sequence[Acceptance]) -> list[Row]:
    """Accepted, and as the relay reads them."""
    messages = accepted(connection, *acceptances)
    rows = fetch(
        connection,
        "SELECT stream_id::text, version, type, topic, key, data::text, '', payload ->> 'request', NULL, position"
        " FROM outbox WHERE stream_id = ANY (%s::uuid[]) AND version = 1 ORDER BY position",
        [str(one) for one in messages],
    )
    connection.commit()
    return rows


def published(fairness: Fairness, connection: Connection, acceptances: Sequence[Acceptance]) -> list[str]:
    left = fairness.publishable(connection, page(connection, acceptances))
    connection.commit()
    return [row[0] for row in left]


def of_one(count: int, user: str = "ada") -> list[Acceptance]:
    return [notification(user) for _ in range(count)]


def of_many(count: int, *, priority: int | None = None) -> list[Acceptance]:
    """For as many users, asked for together."""
    group, dates = uuid4(), Dates(priority=priority)
    return [make_acceptance("generic_topic", f"{one}", b"{}", dates=dates, group_id=group) for one in range(count)]


def ids_of(acceptances: Sequence[Acceptance]) -> list[str]:
    return [str(one.id) for one in acceptances]


def in_line(connection: Connection) -> list[str]:
    found = fetch_column(
        connection, "SELECT id::text FROM waiting WHERE line IS NOT NULL ORDER BY line, accepted_at, id"
    )
    connection.commit()
    return found


def requested(connection: Connection, lines: Lines) -> list[str]:
    """What has its turn now, all being published that was to be."""
    pass_all(connection)
    lines.request_next(connection, SETTINGS)
    connection.commit()
    return pending(connection)


def pass_all(connection: Connection) -> None:
    """The relay's cursor, behind everything there is."""
    execute_and_commit(
        connection,
        "INSERT INTO relay_cursor (name, previous, last_position, floor, epoch, system_identifier, timeline)"
        " VALUES ('relay', pg_current_snapshot(), 0, 0, 1, '', 1)"
        " ON CONFLICT (name) DO UPDATE SET previous = excluded.previous",
    )


def pending(connection: Connection) -> list[str]:
    statement = "SELECT id::text FROM messages WHERE status = 'pending' AND request > 1 ORDER BY accepted_at, id"
    found = fetch_column(connection, statement)
    connection.commit()
    return found


def claimed(connection: Connection, messages: Sequence[str]) -> list[str]:
    asked = "SELECT id, request FROM messages WHERE id = ANY (%s::uuid[])"
    records = [Record(UUID(one), request, destination="log") for one, request in fetch(connection, asked, messages)]
    won = claim(connection, records, lease=60)
    connection.commit()
    return [str(one) for one in won]


def deliver(connection: Connection, messages: Sequence[str]) -> None:
    outcomes = [Outcome(id=UUID(one), attempt=1, outcome="sent") for one in claimed(connection, messages)]
    record_outcomes(connection, outcomes, dead_letters=DEAD_LETTERS)
    connection.commit()


def test_of_a_key_with_many_so_many_are_published_and_the_rest_waits_in_line(connection: Connection) -> None:
    flood = of_one(OF_A_KEY + 5)
    others = [notification("bea"), notification("cem")]

    left = published(Fairness(), connection, [others[0], *flood, others[1]])

    assert left == ids_of([others[0], *flood[:OF_A_KEY], others[1]])
    assert in_line(connection) == ids_of(flood[OF_A_KEY:])
    assert types_of(connection, flood[-1].id) == ["requested", "postponed"]
    assert fetch_value(connection, "SELECT reason_code FROM messages WHERE id = %s", str(flood[-1].id)) == "queued"


def test_more_of_a_key_is_published_once_what_went_before_is_over(connection: Connection) -> None:
    fairness = Fairness()
    first = published(fairness, connection, of_one(OF_A_KEY))
    assert published(fairness, connection, of_one(1)) == []
    (held,) = in_line(connection)

    deliver(connection, first)
    assert published(fairness, connection, of_one(1)) == [], "another of the key is in line"
    cancel(connection, UUID(held))
    deliver(connection, in_line(connection))
    for message in in_line(connection):
        cancel(connection, UUID(message))
    connection.commit()

    assert len(published(fairness, connection, of_one(1))) == 1


def test_what_is_remembered_of_a_key_fades(connection: Connection) -> None:
    now = 0.0
    fairness = Fairness(clock=lambda: now)
    published(fairness, connection, of_one(OF_A_KEY))

    now = 1_000.0

    assert len(published(fairness, connection, of_one(OF_A_KEY // 2))) == OF_A_KEY // 2


def test_what_was_asked_for_among_many_waits_where_the_pipeline_is_behind(connection: Connection) -> None:
    fairness = Fairness()
    many, urgent = of_many(OF_A_TOPIC + 20), of_many(20, priority=9)
    single = make_acceptance("generic_topic", "single", b"{}")

    left = published(fairness, connection, [*many, *urgent, single])

    assert left == ids_of([*many[:OF_A_TOPIC], *urgent, single])


def test_where_the_pipeline_goes_along_nothing_of_many_waits(connection: Connection) -> None:
    fairness = Fairness()
    deliver(connection, published(fairness, connection, of_many(OF_A_TOPIC)))

    assert len(published(fairness, connection, of_many(OF_A_TOPIC))) == OF_A_TOPIC
    assert in_line(connection) == []


def test_where_it_goes_along_no_longer_the_next_of_many_waits(connection: Connection) -> None:
    now = 0.0
    fairness = Fairness(clock=lambda: now)
    deliver(connection, published(fairness, connection, of_many(OF_A_TOPIC)))
    published(fairness, connection, of_many(OF_A_TOPIC))
    now = 1.0

    left = sum(len(published(fairness, connection, of_many(OF_A_TOPIC))) for _ in range(3))

    assert left <= OF_A_TOPIC, "twice as many may go after what was claimed at once"


def test_what_another_transaction_has_is_published(connection: Connection, database: str) -> None:
    flood = of_one(OF_A_KEY + 1)
    rows = page(connection, flood)
    with compared(database) as other:
        fetch(other, "SELECT FROM messages WHERE id = %s FOR UPDATE", str(flood[-1].id))

        assert [row[0] for row in Fairness().publishable(connection, rows)] == ids_of(flood)


def test_who_waits_in_line_is_not_requested_by_its_date(connection: Connection) -> None:
    published(Fairness(), connection, of_one(OF_A_KEY + 1))

    assert request_due(connection, SETTINGS) == 0


def test_lines_have_their_turn_in_order_and_a_share_each(connection: Connection) -> None:
    fairness, lines = Fairness(), Lines(clock=lambda: 0.0)
    ada, bea = of_one(OF_A_KEY + 200), of_one(OF_A_KEY + 3, "bea")
    published(fairness, connection, [*ada, *bea])

    assert requested(connection, lines) == ids_of([*ada[OF_A_KEY:][:SHARE], *bea[OF_A_KEY:]])


def test_a_line_goes_on_only_while_its_last_share_is_not_far_from_over(connection: Connection) -> None:
    fairness, lines = Fairness(), Lines(clock=lambda: 0.0)
    flood = of_one(OF_A_KEY + 5 * SHARE)
    published(fairness, connection, flood)
    rest = ids_of(flood)[OF_A_KEY:]

    requested(connection, lines)
    assert requested(connection, lines) == rest[: 2 * SHARE]
    assert requested(connection, lines) == rest[: 2 * SHARE]

    deliver(connection, rest[:SHARE])
    assert requested(connection, lines) == rest[SHARE : 3 * SHARE]


def test_no_more_than_a_portion_waits_for_its_claim(connection: Connection) -> None:
    now = 0.0
    lines = Lines(clock=lambda: now)
    published(Fairness(), connection, of_many(OF_A_TOPIC + 6 * PORTION))

    requested(connection, lines)
    waiting = requested(connection, lines)
    assert len(waiting) == PORTION
    claimed(connection, waiting)
    waiting = requested(connection, lines)
    assert len(waiting) == 2 * PORTION, "it was claimed at once"
    now = 1.0
    requested(connection, lines)
    claimed(connection, waiting[PORTION // 2 :])
    assert len(requested(connection, lines)) == PORTION, "that was not"


def test_what_the_relay_has_not_passed_has_no_turn(connection: Connection) -> None:
    pass_all(connection)
    published(Fairness(), connection, of_one(OF_A_KEY + 1))

    assert Lines().request_next(connection, SETTINGS) == 0


def test_nothing_is_published_past_one_of_its_key_in_line(connection: Connection) -> None:
    published(Fairness(), connection, of_one(OF_A_KEY + 1))
    anew = Fairness()

    assert published(anew, connection, of_one(1)) == []
    requested(connection, Lines())
    assert published(anew, connection, of_one(1)) == [], "its record may come later"


def test_nobody_asks_for_lines_where_there_have_been_none_for_a_while(connection: Connection, database: str) -> None:
    now = 0.0
    fairness = Fairness(clock=lambda: now)
    published(fairness, connection, of_one(1))
    now = NO_LINES + 1
    rows = page(connection, of_one(1))
    with connected(database) as closed:
        closed.close()

        assert fairness.publishable(closed, rows) == rows


def test_lines_of_a_paused_topic_wait_on_and_hold_up_no_others(connection: Connection) -> None:
    ada = of_one(OF_A_KEY + 1)
    published(Fairness(), connection, [*of_many(OF_A_TOPIC + 2 * PORTION), *ada])
    pause(connection, "topic:generic_topic")

    assert requested(connection, Lines()) == [str(ada[-1].id)]


def test_a_topic_that_nobody_consumes_is_passed_over(connection: Connection) -> None:
    now = 0.0
    lines = Lines(clock=lambda: now)
    ada = of_one(OF_A_KEY + 1)
    published(Fairness(), connection, [*of_many(OF_A_TOPIC + 4 * PORTION), *ada])
    assert len(requested(connection, lines)) == PORTION
    now = STUCK

    requested(connection, lines)

    assert status_of(connection, ada[-1].id) == "pending"
    assert len(pending(connection)) == PORTION + 1


def test_the_next_of_a_key_stands_in_line_behind_those_that_do(connection: Connection) -> None:
    flood = of_one(OF_A_KEY + 2)
    published(Fairness(), connection, flood)
    (late,) = accepted(connection, notification("ada"))  # by a relay that remembers nothing

    assert claimed(connection, [str(late)]) == []

    assert in_line(connection) == [*ids_of(flood[OF_A_KEY:]), str(late)]


def test_the_next_of_a_key_waits_for_one_that_left_the_line_and_has_no_destination_yet(connection: Connection) -> None:
    flood = of_one(OF_A_KEY + 1)
    published(Fairness(), connection, flood)
    requested(connection, Lines())
    (late,) = accepted(connection, notification("ada"))

    assert claimed(connection, [str(late)]) == []
    assert fetch_value(connection, "SELECT reason_code FROM messages WHERE id = %s", str(late)) == "behind"


def test_a_record_of_one_that_is_held_starts_nothing(connection: Connection) -> None:
    flood = of_one(OF_A_KEY + 1)
    published(Fairness(), connection, flood)

    assert claim(connection, [Record(flood[-1].id, 1, destination="log")], lease=60) == {}
    requested(connection, Lines())
    assert claim(connection, [Record(flood[-1].id, 1, destination="log")], lease=60) == {}
    connection.commit()
    assert status_of(connection, flood[-1].id) == "pending"


def busy(connection: Connection, users: Sequence[str], *, wait: float = 0.0, priority: int | None = None) -> list[str]:
    """Messages to a destination that had no room for them, and may have by now."""
    dates = Dates(priority=priority)
    messages = accepted(connection, *(make_acceptance("notifications", one, b"{}", dates=dates) for one in users))
    claim(connection, [Record(one, 1, destination=HOOK, wait=wait) for one in messages], lease=60)
    connection.commit()
    return [str(one) for one in messages]


def test_a_busy_destination_has_a_line_that_goes_on_as_it_takes_them(connection: Connection) -> None:
    lines = Lines(clock=lambda: 0.0)
    messages = busy(connection, [f"{one}" for one in range(3 * SHARE)])
    assert request_due(connection, SETTINGS) == 0

    requested(connection, lines)
    assert requested(connection, lines) == messages[: 2 * SHARE]
    claimed(connection, messages[: 2 * SHARE])

    assert requested(connection, lines) == [], "none of them is over"


def test_what_finds_its_destination_busy_again_waits_for_its_date_and_holds_no_place(connection: Connection) -> None:
    lines = Lines(clock=lambda: 0.0)
    messages = busy(connection, [f"{one}" for one in range(SHARE)])
    requested(connection, lines)
    claim(connection, [Record(UUID(one), 2, destination=HOOK, wait=60.0) for one in messages], lease=60)
    connection.commit()

    assert requested(connection, lines) == []


def test_what_is_urgent_has_a_line_of_its_own_to_a_busy_destination(connection: Connection) -> None:
    busy(connection, [f"{one}" for one in range(3 * SHARE)], wait=60.0)
    (urgent,) = busy(connection, ["ada"], priority=9)

    assert requested(connection, Lines()) == [urgent]


def test_the_next_of_a_key_stands_in_line_to_the_destination_too(connection: Connection) -> None:
    (first,) = busy(connection, ["ada"])
    (second,) = accepted(connection, notification("ada"))

    assert claim(connection, [Record(second, 1, destination=HOOK)], lease=60) == {}
    connection.commit()

    assert in_line(connection) == [first, str(second)]
