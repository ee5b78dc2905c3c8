"""The topics that have a consumer and the channels that deliver: one line each.

The values are names of modules, as text: the pipeline imports them when it starts, the API and
the relay only need the keys. `docs/topics.md` shows a third topic being added.
"""

TOPICS = {
    "notifications": "pipeline.topics.notifications",
    "generic_topic": "pipeline.topics.generic_topic",
}

CHANNELS = {
    "log": "pipeline.channels.log",
    "webhook": "pipeline.channels.webhook",
    "email": "pipeline.channels.email",
    "apprise": "pipeline.channels.apprise",
}

DEFAULT_CHANNEL = "log"
DEAD_LETTERS = "dead_letters"
