"""The topics that have a consumer, the channels that deliver, the tasks that run by the clock, what a key may be for.

Modules are named as text: the pipeline imports topics and channels when it starts, the relay its tasks;
the API only needs the names. `docs/topics.md` shows a third topic being added.
"""

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

# seconds between two runs, in the relay that leads; each module has `run(connection)`
TASKS = {
    "herald.outbox.scheduler.tasks.report_backlog": 300.0,
    "herald.outbox.scheduler.tasks.remind_of_dead_letters": 900.0,
}

DEFAULT_CHANNEL = "log"
DEAD_LETTERS = "dead_letters"
OWNER_TOPIC = "herald_instance"  # whose topics these are

SCOPES = {
    "send": "accept messages, and take them back",
    "read": "see how messages, dead letters and pauses stand, without what the messages carry",
    "read:content": "the same, and what they carry: data, content, addresses",
    "decide": "requeue, edit and discard dead letters",
    "operate": "pause and resume deliveries",
}
