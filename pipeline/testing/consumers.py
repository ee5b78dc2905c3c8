"""The consumers under test: registered for as long as a test runs, as lines in `herald.outbox.registry` would."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from herald.outbox import registry
from herald.outbox.settings import Settings
from herald.pipeline.channel import Channel
from herald.pipeline.topic import Topic


class Consumers:
    """Topics and channels by name: each a module's name, as in the registry, or the object itself.

    Only modules can be run in another process.
    """

    def __init__(self, topics: Mapping[str, str | Topic], channels: Mapping[str, str | Channel]) -> None:
        self._topics = topics
        self._channels = channels

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Add them to the registry; at the end it is as it was."""
        before = dict(registry.TOPICS), dict(registry.CHANNELS)
        registry.TOPICS.update({name: str(topic) for name, topic in self._topics.items()})
        registry.CHANNELS.update({name: str(channel) for name, channel in self._channels.items()})
        try:
            yield
        finally:
            for current, earlier in zip((registry.TOPICS, registry.CHANNELS), before, strict=True):
                current.clear()
                current.update(earlier)

    def load_topics(self) -> dict[str, Topic]:
        """Every registered topic. Raises ImportError or AttributeError for a module that is none."""
        found = {**registry.TOPICS, **self._topics}
        return {name: import_module(one).topic if isinstance(one, str) else one for name, one in found.items()}

    def load_channels(self, settings: Settings) -> dict[str, Channel]:
        """Every registered channel. Raises as `load_topics` does, and SettingsError for one that is set up wrongly."""
        found = {**registry.CHANNELS, **self._channels}
        return {
            name: import_module(one).make_channel(settings) if isinstance(one, str) else one
            for name, one in found.items()
        }

    def modules(self) -> dict[str, dict[str, str]]:
        """The same for another process. Raises TypeError for what is not named as a module."""
        named: dict[str, Mapping[str, Any]] = {"topics": self._topics, "channels": self._channels}
        for kind, found in named.items():
            for name, one in found.items():
                if not isinstance(one, str):
                    message = f"{kind}: {name!r} is an object: name its module as text, or it cannot run in a process"
                    raise TypeError(message)
        return {kind: {name: str(one) for name, one in found.items()} for kind, found in named.items()}
