"""The topics that have a consumer, the channels that deliver, the tasks that run by the clock, what a key may be for.

Texts, `module` or `module:member`: the pipeline imports topics and channels when it starts, the relay its tasks; the
API only needs the names. `herald.outbox.extensions` adds those of a user's own package: docs/extensions.md.
"""

from collections.abc import Iterable

TOPICS = {
    "notifications": "herald.pipeline.topics.notifications",
    "generic_topic": "herald.pipeline.topics.generic_topic",
}

CHANNELS = {
    "log": "herald.pipeline.channels.log",
    "webhook": "herald.pipeline.channels.webhook.channel",
    "email": "herald.pipeline.channels.email.channel",
    "apprise": "herald.pipeline.channels.apprise",
}

TASKS = {
    "report_backlog": "herald.outbox.scheduler.tasks.report_backlog",
    "remind_of_dead_letters": "herald.outbox.scheduler.tasks.remind_of_dead_letters",
}

DEFAULT_CHANNEL = "log"
DEAD_LETTERS = "dead_letters"
OWNER_TOPIC = "herald_instance"  # whose topics these are

SCOPES = {
    "send": "accept messages; take back, and send again, what keys of the same owner sent",
    "read": "see how messages, dead letters and pauses stand, without what the messages carry",
    "read:content": "the same, and what they carry: data, content, addresses",
    "decide": "requeue, edit and discard dead letters; take back, and send again, what anybody sent",
    "operate": "pause and resume deliveries",
}

ELSEWHERE: dict[str, tuple[str, ...]] = {"topics": (), "channels": ()}


def note_registered(topics: Iterable[str], channels: Iterable[str]) -> None:
    """What the database has, where every process notes its own: outbox/postgres/registered.py."""
    ELSEWHERE.update(topics=tuple(topics), channels=tuple(channels))


def registered_topics() -> tuple[str, ...]:
    """Those of this process, and those of others: they are accepted and published, and wait for a consumer."""
    return tuple(dict.fromkeys((*TOPICS, *ELSEWHERE["topics"])))


def registered_channels() -> tuple[str, ...]:
    """The same of channels."""
    return tuple(dict.fromkeys((*CHANNELS, *ELSEWHERE["channels"])))
