"""What is left to look at when everything is over: the log, and the topics."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from confluent_kafka import Consumer, Message, TopicPartition

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import TOPICS

READ_TIMEOUT = 30.0  # seconds for the next records to come

_MESSAGES = """
SELECT id::text, status, coalesce(data ->> 'number', data ->> 'content')
FROM messages AS m JOIN outbox AS o ON o.stream_id = m.id AND o.version = m.data_version WHERE id <> ALL (%s::uuid[])
"""
_EVENTS = """
SELECT stream_id::text, version, type, topic IS NOT NULL, recorded_at, payload ->> 'attempt', payload ->> 'outcome'
FROM outbox WHERE stream_id <> ALL (%s::uuid[]) ORDER BY stream_id, version
"""


@dataclass
class Story:
    """One message as the log tells it. `said`: what it says of each attempt by number, `late …` for a late outcome.

    `first` is when its first attempt began that was not given back untried; `published` are the
    ids of its events that belong on Kafka.
    """

    id: str
    number: int | None = None
    status: str = ""
    said: dict[int, set[str]] = field(default_factory=dict)
    started: dict[int, datetime] = field(default_factory=dict)
    published: set[str] = field(default_factory=set)

    @property
    def first_attempt(self) -> int | None:
        """The number of the first attempt that was not given back."""
        return next((number for number in sorted(self.said) if "postponed" not in self.said[number]), None)


class Published(NamedTuple):
    """One record: the id of its event, and where it is."""

    id: str
    topic: str
    partition: int
    offset: int


def read_stories(connection: Connection, but: Iterable[str] = ()) -> dict[str, Story]:
    """Every message of the log `but` these, by its id."""
    others = list(but)
    stories: dict[str, Story] = {}
    for stream, version, kind, is_published, at, attempt, outcome in fetch(connection, _EVENTS, others):
        story = stories.setdefault(stream, Story(stream))
        if is_published:
            story.published.add(f"{stream}.{version}")
        if attempt is not None:
            _note(story, int(attempt), kind.removeprefix("message."), outcome, at)
    for stream, status, number in fetch(connection, _MESSAGES, others):
        stories[stream].status = status
        stories[stream].number = as_number(number)
    return stories


def as_number(text: str | None) -> int | None:
    """A request's own; None for what others wrote."""
    return int(text) if text is not None and re.fullmatch("[0-9]{1,15}", text) else None


def _note(story: Story, attempt: int, kind: str, outcome: str | None, at: datetime) -> None:
    said = story.said.setdefault(attempt, set())
    if kind == "started":
        story.started[attempt] = at
    else:
        said.add(f"late {outcome}" if kind == "late" else kind)


def read_topics(bootstrap_servers: str, topics: Iterable[str] = TOPICS) -> list[Published]:
    """Every record that the topics hold."""
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "oracle", "enable.auto.commit": False})
    try:
        return [published for topic in topics for published in _read_topic(consumer, topic)]
    finally:
        consumer.close()


def _read_topic(consumer: Consumer, topic: str) -> Iterator[Published]:
    partitions = consumer.list_topics(topic, timeout=READ_TIMEOUT).topics[topic].partitions
    for partition in partitions:
        low, high = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=READ_TIMEOUT)
        consumer.assign([TopicPartition(topic, partition, low)])
        offset = low
        while offset < high:
            record = consumer.poll(READ_TIMEOUT)
            assert record is not None, f"{topic}[{partition}] ends at {high} and could be read to {offset}"
            assert record.error() is None, record.error()
            offset = (record.offset() or 0) + 1
            yield Published(_event_id(record), topic, partition, offset - 1)


def _event_id(record: Message) -> str:
    headers = dict(record.headers() or [])
    found = headers.get("ce_id")
    return found.decode() if isinstance(found, bytes) else ""
