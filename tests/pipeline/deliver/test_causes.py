"""What a failed call held is let go of at once, whatever its frames hold of each other."""

import gc
import weakref
from collections.abc import Iterator

import msgspec
import pytest

from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.topic import Topic
from tests.pipeline.parts import in_this_thread, make_deliverer, make_request, make_router


class Large:
    """Stands for a message of a megabyte."""


@pytest.fixture
def no_collector() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


@pytest.mark.usefixtures("no_collector")
@pytest.mark.parametrize("kind", [OSError, TypeError])
def test_a_failed_call_holds_nothing_though_its_frame_has_its_error(kind: type[Exception]) -> None:
    held: list[weakref.ref[Large]] = []

    def handle(_data: msgspec.Raw, _delivery: object) -> None:
        large, failure = Large(), kind("the cause")
        held.append(weakref.ref(large))
        try:
            raise failure
        except kind as error:
            raise ConnectionError("it failed") from error

    deliver = in_this_thread(make_deliverer(make_router(topics={"orders": Topic(data=msgspec.Raw, handle=handle)})))

    deliver(Attempt(make_request(topic="orders", data=msgspec.Raw(b"{}")), 1, float("inf")))

    assert [one() for one in held] == [None]
