"""What is registered, loaded: the names in `herald.outbox.registry` become topics and channels."""

from importlib import import_module

from herald.outbox import registry
from herald.outbox.settings import Settings
from herald.pipeline.channel import Channel
from herald.pipeline.topic import Topic


def load_topics() -> dict[str, Topic]:
    """Every topic with its handler, by the topic's name.

    Raises ImportError or AttributeError for a line in the registry that leads nowhere.
    """
    return {name: import_module(module).topic for name, module in registry.TOPICS.items()}


def load_channels(settings: Settings) -> dict[str, Channel]:
    """Every channel by its name. Raises SettingsError for one that is set up wrongly."""
    return {name: import_module(module).make_channel(settings) for name, module in registry.CHANNELS.items()}
