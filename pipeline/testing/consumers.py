"""The consumers under test: registered for as long as a test runs, as lines in `herald.outbox.registry` would."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from types import ModuleType
from unittest.mock import patch

from herald.outbox import registry
from herald.pipeline.channel import Channel
from herald.pipeline.topic import Topic

OBJECT = "herald testing "  # begins the names of modules that hold an object, which nobody else can import


@dataclass(frozen=True)
class Consumers:
    """Topics and channels by name: each a module's name, as in the registry, or the object itself.

    Only modules can be run in another process.
    """

    topics: Mapping[str, str | Topic]
    channels: Mapping[str, str | Channel]

    @contextmanager
    def registered(self) -> Iterator[None]:
        """Add them to the registry; at the end it is as it was."""
        topics = {name: _line(name, one, topic=one) for name, one in self.topics.items()}
        channels = {name: _line(name, one, make_channel=lambda _, one=one: one) for name, one in self.channels.items()}
        try:
            with patch.dict(registry.TOPICS, topics), patch.dict(registry.CHANNELS, channels):
                yield
        finally:
            for name in {*topics.values(), *channels.values()}:
                if name.startswith(OBJECT):
                    del sys.modules[name]

    def modules(self) -> dict[str, dict[str, object]]:
        """The same for another process. Raises TypeError for what is not named as a module."""
        named: dict[str, dict[str, object]] = {"topics": {**self.topics}, "channels": {**self.channels}}
        for kind, found in named.items():
            for name in (name for name, one in found.items() if not isinstance(one, str)):
                message = f"{kind}: {name!r} is an object: name its module as text, or it cannot run in a process"
                raise TypeError(message)
        return named


def _line(name: str, one: object, **members: object) -> str:
    """What stands in the registry; an object is put into a module."""
    if isinstance(one, str):
        return one
    module = ModuleType(f"{OBJECT}{name} {id(one)}")
    vars(module).update(members)
    sys.modules[module.__name__] = module
    return module.__name__
