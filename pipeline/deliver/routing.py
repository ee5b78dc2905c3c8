"""From a request to its channel: which one, to which destination, by which policy, and the call itself."""

import asyncio
from collections.abc import Awaitable, Mapping
from functools import cache
from inspect import isawaitable, iscoroutine, iscoroutinefunction

import msgspec

from herald.outbox.destination.check import needs_address, no_address
from herald.outbox.destination.policies import Policy, channel_of, policy
from herald.outbox.destination.routes import Target, choose
from herald.outbox.settings import Settings
from herald.pipeline.channel import Channel, Delivery, Letter, NotSetUpError, PermanentError, UnknownOutcomeError
from herald.pipeline.consume.record import Request
from herald.pipeline.topic import Draft, Handle, Topic

GRACE = 1.0  # seconds beyond its time until a coroutine is cancelled: its own deadline knows better what happened


class Router:
    """Knows topics, channels and settings; called from the worker, from every delivery thread and on the loop."""

    def __init__(self, settings: Settings, topics: Mapping[str, Topic], channels: Mapping[str, Channel]) -> None:
        self._settings = settings
        self._topics = topics
        self._channels = channels
        self._routed = frozenset(settings.routes)
        self._async_topics = {name for name, topic in topics.items() if iscoroutinefunction(topic.handle)}
        self._async_channels = {name for name, channel in channels.items() if iscoroutinefunction(channel.deliver)}
        self._policy = cache(
            lambda channel, topic: policy(settings, channel, topic=topic, is_async=channel in self._async_channels)
        )

    def policy(self, destination: str | None, topic: str | None = None) -> Policy:
        """What holds for attempts to this destination; a strict topic has retries of its own."""
        return self._policy(channel_of(destination), topic)

    def destination(self, request: Request) -> str | None:
        """`channel` or `channel:host`; None where the topic's own handler delivers.

        Raises NotSetUpError where this process has no such channel or no settings for it, PermanentError when the
        address is none of it, or its topic's check refuses what SQL accepted unchecked.
        """
        if self._handler(request.topic) is not None:
            return None
        target = self._target(request, self._draft(request))
        channel = self._channel(target.channel)
        try:
            self._topics[request.topic].check(request.data)
        except ValueError as error:
            raise PermanentError(str(error)) from None
        if not target.address and needs_address(target.channel):
            raise PermanentError(no_address(target.channel))
        host = channel.host(target.address)
        return f"{target.channel}:{host}" if host else target.channel

    def is_async(self, request: Request) -> bool:
        """Whether a coroutine delivers it, on the loop."""
        if request.destination is None:
            return request.topic in self._async_topics and self._handler(request.topic) is not None
        return channel_of(request.destination) in self._async_channels

    async def deliver(self, request: Request, delivery: Delivery) -> None:
        """Call the handler or the channel, and await a coroutine as long as it may take.

        Raises what they raise, or what the topic's own code raised before; UnknownOutcomeError for a coroutine that
        does not end.
        """
        if request.error is not None:
            raise request.error
        called = self._called(request, delivery)
        if not isawaitable(called):  # what else a function returns is nobody's
            return
        if not self.is_async(request):
            if iscoroutine(called):
                called.close()
            raise TypeError("a plain function returned something to await: it must be `async def` itself")
        try:
            async with asyncio.timeout(delivery.timeout + GRACE) as limit:
                await called
        except TimeoutError:
            if limit.expired():
                said = f"it did not end within {delivery.timeout:g} s: whether it was taken is not known"
                raise UnknownOutcomeError(said) from None
            raise

    async def close(self) -> None:
        for channel in self._channels.values():
            closing = channel.close()
            if isawaitable(closing):
                await closing

    def _called(self, request: Request, delivery: Delivery) -> Awaitable[None] | None:
        handle = self._handler(request.topic)
        if handle is not None:
            return handle(request.data, delivery)
        draft = self._draft(request)
        target = self._target(request, draft)
        letter = Letter(
            address=target.address,
            user_id=draft.user_id,
            event=draft.event,
            subject=draft.subject,
            content=draft.content,
            data=request.raw or b"null",
        )
        return self._channel(target.channel).deliver(letter, delivery)

    def _handler(self, topic: str) -> Handle | None:
        """The topic's own; None where its messages go over a channel."""
        found = self._topics[topic]
        return None if found.draft is not None or topic in self._routed else found.handle

    def _draft(self, request: Request) -> Draft:
        draft = self._topics[request.topic].draft
        if draft is not None:
            return draft(request.data)
        content = msgspec.json.format(request.raw or b"null", indent=2).decode()
        return Draft(event=request.topic, content=content)

    def _target(self, request: Request, draft: Draft) -> Target:
        return choose(
            self._settings, topic=request.topic, event=draft.event, channel=draft.channel, address=draft.address
        )

    def _channel(self, name: str) -> Channel:
        found = self._channels.get(name)
        if found is None:
            raise NotSetUpError(f"no channel is named {name!r}; there are: {', '.join(self._channels)}")
        return found
