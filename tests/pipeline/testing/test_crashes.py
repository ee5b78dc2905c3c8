"""A pipeline that is killed between two steps, and what is left of it."""

import pytest

from herald.pipeline.testing.clock import VirtualClock
from herald.pipeline.testing.herald import Herald
from herald.pipeline.topic import Topic
from tests.pipeline.testing.bakery import baked
from tests.pipeline.testing.conftest import CONSUMER

pytestmark = pytest.mark.herald(topics=CONSUMER, settings={"lease": 45.0})
CALLS = {
    "pipeline.received": (0, 0),
    "pipeline.delivering": (1, 0),
    "pipeline.delivered": (1, 1),
}  # unknown, extra calls


@pytest.mark.parametrize("point", CALLS)
def test_a_killed_pipeline_loses_nothing(herald: Herald, herald_clock: VirtualClock, point: str) -> None:
    unknown, repeated = CALLS[point]
    herald.crash_at(point)
    cake = herald.post("cakes", {"customer": "ada", "layers": 2})
    herald.wait_until_crashed()
    with pytest.raises(AssertionError, match=r"the pipeline was killed .* call restart\(\)"):
        herald.wait_until_settled()

    herald.restart()
    herald_clock.advance(seconds=46)

    herald.assert_nothing_lost(baked, deadline=60)
    assert [event.type for event in herald.history(cake)].count("message.unknown") == unknown
    assert baked() == [cake] * (1 + repeated)
    assert [call.is_returned for call in herald.deliveries] == [True] * (1 + repeated)


def test_without_a_restart_the_report_says_what_is_open(herald: Herald) -> None:
    herald.crash_at("pipeline.delivered")
    cake = herald.post("cakes", {"customer": "ada", "layers": 2})
    herald.wait_until_crashed()

    with pytest.raises(AssertionError, match=f"message {cake} is not over: sending"):
        herald.assert_nothing_lost(baked)


def test_a_point_that_is_none_is_refused(herald: Herald) -> None:
    with pytest.raises(ValueError, match=r"point: 'relay\.read' is none of the pipeline's: pipeline\.received, "):
        herald.crash_at("relay.read")

    herald.assert_nothing_lost(baked)


@pytest.mark.herald(topics={"inline": Topic(data=dict)})
def test_an_object_cannot_be_run_in_another_process(herald: Herald) -> None:
    with pytest.raises(TypeError, match="topics: 'inline' is an object: name its module as text"):
        herald.crash_at("pipeline.claimed")


@pytest.mark.herald(settings={"max_attempts": 2, "retry_base": 0.01})
def test_a_pipeline_that_does_not_come_to_its_point_is_named(herald: Herald) -> None:
    herald.crash_at("pipeline.flushed")

    with pytest.raises(AssertionError, match=r"did not come to its crash point within 0\.1 s; its log:"):
        herald.wait_until_crashed(0.1)
