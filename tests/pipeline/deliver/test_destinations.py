"""Destinations and lanes: whose turn it is, who waits, who goes back."""

from typing import Any

import msgspec
import pytest

from herald.outbox.moves.claim import REASONS
from herald.outbox.moves.record import Outcome
from herald.outbox.settings import ChannelPolicy
from herald.outbox.watched.life import LIMIT
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.deliveries import MOST_OPEN
from herald.pipeline.deliver.destinations import Destinations
from herald.pipeline.deliver.failing import Health
from herald.pipeline.deliver.lanes import Lanes
from herald.pipeline.deliver.queues import SLOW as SILENT
from tests.pipeline.fakes import FakeChannel
from tests.pipeline.parts import in_this_thread, make_deliverer, make_request, make_router, settings

SLOW, LIVE = "webhook:slow", "webhook:live"
FAR = float("inf")


def attempt(destination: str | None = LIVE, *, key: str | None = None, number: int = 1, **fields: Any) -> Attempt:
    request = make_request(topic="orders", key=key)
    return Attempt(request, number, FAR, destination=destination, **fields)


def make_destinations(**own: Any) -> Destinations:
    found = settings(concurrency=20, destination_concurrency=2, channels={"webhook": ChannelPolicy(**own)})
    return Destinations(make_router(found=found).policy, assumed=0.05)


def put(destinations: Destinations, *attempts: Attempt) -> None:
    for one in attempts:
        destinations.opened(one.destination)
        destinations.put(one)


def take_all(destinations: Destinations) -> list[Attempt]:
    taken = []
    while (found := destinations.take()) is not None:
        taken.append(found[0])
    return taken


def outcome(one: Attempt, kind: Any, *, is_fault: bool = False) -> Outcome:
    return Outcome(id=one.request.id, attempt=one.number, outcome=kind, destination=one.counted, is_fault=is_fault)


def test_a_destination_has_its_limit_and_the_others_their_turn() -> None:
    destinations = make_destinations()
    put(destinations, *(attempt(SLOW) for _ in range(5)), attempt(LIVE))

    taken = take_all(destinations)

    assert sorted(str(one.destination) for one in taken) == [LIVE, SLOW, SLOW]
    assert not destinations.has_ready


def test_a_place_that_becomes_free_is_taken_again() -> None:
    destinations = make_destinations()
    put(destinations, *(attempt(SLOW) for _ in range(3)))
    first, _ = take_all(destinations)

    destinations.done(first, 0.1)

    assert len(take_all(destinations)) == 1


def test_a_channel_has_its_limit_over_all_its_destinations() -> None:
    destinations = make_destinations(concurrency=3)
    put(destinations, *(attempt(f"webhook:{number}") for number in range(5)), attempt(None))

    taken = take_all(destinations)

    assert sum(one.destination is not None for one in taken) == 3
    assert len(taken) == 4


def test_a_place_of_a_channel_that_becomes_free_is_taken_by_another_destination() -> None:
    destinations = make_destinations(concurrency=1)
    put(destinations, attempt("webhook:a"), attempt("webhook:b"))
    (first,) = take_all(destinations)

    destinations.done(first, 0.1)

    assert [one.destination for one in take_all(destinations)] == ["webhook:b"]


def test_a_busy_destination_says_when_to_come_again() -> None:
    destinations = make_destinations()
    put(destinations, *(attempt(SLOW) for _ in range(10)))
    first = take_all(destinations)[0]
    destinations.done(first, 4.0)

    assert destinations.wait(SLOW, lane=0, within=15.0) == 15.0
    assert destinations.wait(SLOW, lane=0, within=20.0) is None
    assert destinations.wait(LIVE, lane=0, within=15.0) is None


def test_a_long_lane_says_when_to_come_again() -> None:
    destinations = make_destinations()
    put(destinations, attempt(SLOW))
    destinations.done(take_all(destinations)[0], 1.0)

    assert destinations.wait(SLOW, lane=40, within=15.0) == 15.0


def test_a_strict_lane_gives_back_what_waits_behind_a_failure() -> None:
    lanes = Lanes({"orders"})
    first, second, third = (attempt(key="7") for _ in range(3))
    assert [lanes.enter(first), lanes.enter(second)] == [True, False]

    following, back = lanes.leave(first, outcome(first, "failed"))

    assert (following, back) == (None, [second])
    assert lanes.enter(third) is None
    assert not lanes.is_here(("orders", "7"))


def test_a_strict_lane_is_in_order_again_once_the_database_has_its_outcomes() -> None:
    lanes = Lanes({"orders"})
    first, second = attempt(key="7"), attempt(key="7")
    lanes.enter(first)
    failed = outcome(first, "failed")
    lanes.leave(first, failed)

    lanes.recorded([failed])

    assert lanes.enter(second) is True


def test_a_strict_lane_goes_on_after_a_delivery_and_after_the_end_of_a_message() -> None:
    lanes = Lanes({"orders"})
    first, second, third = (attempt(key="7") for _ in range(3))
    for one in (first, second, third):
        lanes.enter(one)

    assert lanes.leave(first, outcome(first, "sent")) == (second, [])
    assert lanes.leave(second, outcome(second, "dead")) == (third, [])


def test_any_other_lane_goes_on_after_a_failure() -> None:
    lanes = Lanes(set())
    first, second = attempt(key="7"), attempt(key="7")
    lanes.enter(first)
    lanes.enter(second)

    assert lanes.leave(first, outcome(first, "failed")) == (second, [])


def test_any_lane_gives_back_what_waits_behind_one_that_was_given_back() -> None:
    lanes = Lanes(set())
    first, second, third = (attempt(key="7") for _ in range(3))
    for one in (first, second):
        lanes.enter(one)

    given_back = outcome(first, "postponed")
    assert lanes.leave(first, given_back) == (None, [second])

    assert lanes.enter(third) is None
    lanes.recorded([given_back, outcome(second, "postponed")])
    assert lanes.enter(attempt(key="7")) is None
    lanes.recorded([outcome(third, "postponed")])


@pytest.mark.parametrize("strict", [(), ("orders",)])
@pytest.mark.parametrize("number", [1, 2])  # 1: a fail-over lost the first claim
def test_a_lane_that_held_a_message_twice_is_in_order_again_once_the_database_has_both(
    strict: tuple[str, ...], number: int
) -> None:
    lanes = Lanes(strict)
    hung, waiting = attempt(key="7"), attempt(key="7")
    claimed_again = msgspec.structs.replace(waiting, number=number)
    for one in (hung, waiting, claimed_again):
        lanes.enter(one)

    assert lanes.leave(hung, outcome(hung, "sent")) == (waiting, [])
    assert lanes.leave(waiting, outcome(waiting, "postponed")) == (None, [claimed_again])
    for one in (hung, waiting, claimed_again):
        lanes.recorded([outcome(one, "postponed")])

    assert lanes.enter(attempt(key="7")) is True


def test_what_was_claimed_before_a_destination_failed_is_given_back_untried() -> None:
    channel, health = FakeChannel(), Health(2)
    deliver = in_this_thread(make_deliverer(make_router(channel), health=health))
    health.generation = 7
    for _ in range(2):
        one = attempt(SLOW)
        health.note(outcome(one, "failed", is_fault=True))

    claimed_before = deliver(attempt(SLOW, generation=7))
    probe = attempt(SLOW, generation=7, is_probe=True)
    later = attempt(SLOW, generation=8)

    assert (claimed_before.outcome, claimed_before.reason, claimed_before.retry_in) == (
        "postponed",
        REASONS["breaker_open"],
        0.0,
    )
    assert not any(health.is_barred(one.counted, one.generation) and not one.is_probe for one in (probe, later))


def test_a_success_forgets_failures() -> None:
    health = Health(2)
    health.note(outcome(attempt(SLOW), "failed", is_fault=True))
    health.note(outcome(attempt(SLOW), "sent"))
    health.note(outcome(attempt(SLOW), "failed", is_fault=True))

    assert not health.is_barred(SLOW, 0)


def test_silent_destinations_leave_a_quarter_of_a_channels_calls_to_those_that_answer() -> None:
    destinations = make_destinations(concurrency=8)
    put(destinations, attempt(LIVE))
    destinations.done(take_all(destinations)[0], 0.01)

    put(destinations, *(attempt(f"webhook:silent-{number}") for number in range(20)))
    silent = take_all(destinations)
    put(destinations, attempt(LIVE), attempt(LIVE))

    assert len(silent) == 6
    assert [one.destination for one in take_all(destinations)] == [LIVE, LIVE]
    destinations.done(silent[0], 30.0)
    assert len(take_all(destinations)) == 1


def test_a_destination_that_falls_silent_is_slow_once_its_calls_take_long_and_not_after_a_quick_answer() -> None:
    now = [0.0]
    found = settings(channels={"webhook": ChannelPolicy(concurrency=4, destination_concurrency=2)})
    destinations = Destinations(make_router(found=found).policy, assumed=0.05, clock=lambda: now[0])
    hosts = [f"webhook:{number}" for number in range(4)]
    for host in hosts:
        put(destinations, attempt(host))
        destinations.done(take_all(destinations)[0], 0.01)
    put(destinations, *map(attempt, hosts[:3]))
    open_calls = take_all(destinations)

    now[0] = SILENT
    put(destinations, *map(attempt, hosts))

    assert len(open_calls) == 3
    assert [one.destination for one in take_all(destinations)] == [hosts[3]]
    destinations.done(open_calls[0], 0.01)
    assert [one.destination for one in take_all(destinations)] == [hosts[0]]


def test_a_thousand_silent_destinations_leave_room_for_what_else_is_claimed() -> None:
    """Most of them have no call open that could tell how long one takes: 750 have all places."""
    now = [0.0]
    own = {"webhook": ChannelPolicy(concurrency=1000, destination_concurrency=10)}
    destinations = Destinations(make_router(found=settings(channels=own)).policy, assumed=0.05, clock=lambda: now[0])
    put(destinations, attempt(LIVE))
    destinations.done(take_all(destinations)[0], 0.01)
    claimed, running = 0, []

    for number in range(MOST_OPEN):
        now[0] += 1 / 2500  # seconds
        host = f"webhook:{number % 1000}"
        if destinations.wait(host, lane=0, within=15.0) is None:
            claimed += 1
            put(destinations, attempt(host))
            running += take_all(destinations)

    assert len(running) == 750
    assert claimed < MOST_OPEN / 2
    assert destinations.wait(LIVE, lane=0, within=15.0) is None
    assert destinations.wait("webhook:0", lane=0, within=15.0) == 15.0


def test_what_runs_tells_how_long_a_destination_takes_before_anything_has_ended() -> None:
    now = [0.0]
    destinations = Destinations(make_router(found=settings()).policy, assumed=0.05, clock=lambda: now[0])
    put(destinations, *(attempt(SLOW) for _ in range(100)))
    take_all(destinations)

    assert destinations.wait(SLOW, lane=0, within=15.0) is None
    now[0] = SILENT
    assert destinations.wait(SLOW, lane=0, within=15.0) == 15.0


def test_a_call_far_beyond_its_time_is_overdue_until_it_ends() -> None:
    now = [100.0]
    found = settings(delivery_timeout=10.0, channels={"webhook": ChannelPolicy(timeout=2.0)})
    destinations = Destinations(make_router(found=found).policy, assumed=0.05, clock=lambda: now[0])
    by_handler, over_webhook = attempt(None), attempt(SLOW)
    put(destinations, by_handler, over_webhook)
    take_all(destinations)
    now[0] += 2 + LIMIT
    assert destinations.overdue(0.0) == set()

    now[0] += 1
    assert destinations.overdue(0.0) == {"over webhook"}
    assert destinations.overdue(now[0]) == set(), "nothing ran before"
    now[0] += 8
    assert destinations.overdue(0.0) == {"over webhook", "by a handler"}

    destinations.done(over_webhook, 20.0)
    assert destinations.overdue(0.0) == {"by a handler"}
