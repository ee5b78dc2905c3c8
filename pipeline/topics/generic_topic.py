"""The topic `generic_topic`: carries any event; its handler logs it."""

import msgspec
import structlog

from herald.pipeline.channel import Delivery
from herald.pipeline.channels.log import shortened
from herald.pipeline.topic import Topic

_log = structlog.get_logger()


def handle(data: msgspec.Raw, delivery: Delivery) -> None:
    _log.info(
        "generic_event_received",
        id=str(delivery.id),
        key=delivery.key,
        data=shortened(bytes(data).decode()),
        attempt=delivery.attempt,
    )


topic = Topic(data=msgspec.Raw, handle=handle)
