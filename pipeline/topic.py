"""A topic that has a consumer: what its messages look like, and what is done with each."""

from collections.abc import Callable
from typing import Any

import msgspec

from pipeline.delivery import Delivery


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """What each module named in `outbox.registry.TOPICS` exposes as `topic`.

    `data` is the type that msgspec decodes a message into, usually a Struct. `handle(data, delivery)`
    delivers; it runs in one of many threads, messages of one key one after the other. `key` finds the
    key of a message that another producer put on the topic without one.
    """

    data: Any
    handle: Callable[[Any, Delivery], None]
    key: Callable[[Any], str | None] = lambda _data: None
