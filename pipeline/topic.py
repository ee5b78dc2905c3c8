"""A topic that has a consumer: what its messages look like, and what is done with each."""

from collections.abc import Awaitable, Callable
from typing import Any

import msgspec

from herald.outbox.message.dates import ANY_TIME, Dates
from herald.pipeline.channel import Delivery

Handle = Callable[[Any, Delivery], Awaitable[None] | None]


class Draft(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What a message says for a channel; channel and address are None where the settings decide."""

    channel: str | None = None
    address: str | None = None
    user_id: str | None = None
    event: str
    subject: str | None = None
    content: str


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """What each module named in `herald.outbox.registry.TOPICS` exposes as `topic`.

    `data` is the type that msgspec decodes a message into, usually a Struct. `handle(data, delivery)` delivers; it runs
    in one of many threads, or on the loop where it is `async def`, messages of one key one after the other. A topic
    with `draft` instead is delivered over channels, as is any topic that the setting HERALD_ROUTES names. `key` and
    `dates` find the key and the dates of a message that another producer put on the topic; `check` raises ValueError
    for one that fits the type and could never be delivered.
    """

    data: Any
    handle: Handle | None = None
    draft: Callable[[Any], Draft] | None = None
    key: Callable[[Any], str | None] = lambda _data: None
    dates: Callable[[Any], Dates] = lambda _data: ANY_TIME
    check: Callable[[Any], None] = lambda _data: None
