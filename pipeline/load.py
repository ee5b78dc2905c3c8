"""What is registered, loaded: the names in `herald.outbox.registry` become topics and channels."""

from collections.abc import Callable, Mapping
from uuid import UUID

from confluent_kafka.admin import AdminClient

from herald.outbox.extensions import CHANNEL, TOPIC, ExtensionError, blamed, load, require
from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.topics import read_topic_ids
from herald.outbox.moves.adopt import is_known, read_reach
from herald.outbox.postgres.driver import Connection
from herald.outbox.registry import CHANNELS, TOPICS
from herald.outbox.settings import Settings, SettingsError
from herald.pipeline.channel import Channel
from herald.pipeline.consume.decoding import Decoder
from herald.pipeline.consume.topic_ids import TopicIds
from herald.pipeline.topic import Topic


def load_topics() -> dict[str, Topic]:
    """Every topic with its handler, by the topic's name. Raises ExtensionError."""
    return {name: load(TOPIC, name) for name in TOPICS}


def load_channels(settings: Settings) -> dict[str, Channel]:
    """Every channel by its name. Raises SettingsError for one that is set up wrongly, ExtensionError."""
    return {name: _make_channel(name, settings) for name in CHANNELS}


def _make_channel(name: str, settings: Settings) -> Channel:
    make = load(CHANNEL, name)
    with blamed(CHANNEL, name, "cannot be made", SettingsError):
        channel: Channel = make(settings)
    require(CHANNEL, name, channel, ("name", "host", "deliver", "close"))
    if channel.name != name:
        raise ExtensionError(f"the channel {name} calls itself {channel.name}: both must be the same")
    return channel


def make_decoder(settings: Settings, connection: Connection) -> Decoder:
    """The decoder of those who look at what the pipeline has read; `connection`, in autocommit, is its own."""
    return decoder_for(
        settings,
        load_topics(),
        make_admin(settings),
        read_latest_date=lambda: read_reach(connection),
        knows=lambda message: is_known(connection, message),
    )


def decoder_for(
    settings: Settings,
    topics: Mapping[str, Topic],
    admin: AdminClient,
    *,
    read_latest_date: Callable[[], int],
    knows: Callable[[UUID], bool],
) -> Decoder:
    """As the settings want it; `admin` is asked for the ids of the topics, the database for the rest."""
    return Decoder(
        topics,
        source=settings.source,
        instance=settings.instance or None,
        max_bytes=settings.max_body,
        topic_ids=TopicIds(lambda: read_topic_ids(admin)),
        read_latest_date=read_latest_date,
        is_known=knows,
        max_ahead=settings.max_ahead,
    )
