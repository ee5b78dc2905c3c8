"""The record of a row that was set aside, published after all by the relay's own publisher."""

import threading

from herald.outbox.desk.aside import AsideRow
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.message.events import Requested
from herald.outbox.operate.replay.publishing import Replayer
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.instance import identified
from herald.outbox.postgres.statements import fetch
from herald.outbox.relay.errors import FatalProducerError, PublishError
from herald.outbox.relay.reader import Place, Row, read_places, split_large
from herald.outbox.relay.unpublishable import why_unpublishable
from herald.outbox.settings import Settings

_PLACE = """
SELECT position, stream_id::text, version, coalesce(size, 0) FROM outbox WHERE stream_id = %s AND version = %s
"""


class UnpublishedError(Exception):
    """It cannot be published, or was not; the text says why."""


def publish_row(connection: Connection, settings: Settings, row: AsideRow, stop: threading.Event) -> None:
    """Publish its record, and wait until Kafka has it. Raises UnpublishedError, PostgresError."""
    if row.type == Requested.TYPE and row.status is not None:
        message = f"{row.name} asks for a message that is {row.status} by now: there is nothing to publish"
        raise UnpublishedError(message)
    record = _read(connection, row)
    if why := why_unpublishable(record, TopicNames(settings.topic_prefix).on_kafka(record[3])):
        message = f"{row.name} cannot be published: {why}"
        raise UnpublishedError(message)
    replayer = Replayer(identified(settings, connection), rate=None, stop=stop)
    try:
        replayer.run([[record]], lambda _: None)
    except (PublishError, FatalProducerError) as error:
        message = f"{row.name} was not published: {error}"
        raise UnpublishedError(message) from None
    if replayer.published != 1:
        why = replayer.refused[0][1] if replayer.refused else "stopped before"
        message = f"{row.name} was not published: {why}"
        raise UnpublishedError(message)


def _read(connection: Connection, row: AsideRow) -> Row:
    places = fetch(connection, _PLACE, str(row.stream_id), row.version, into=Place)
    rows, large = split_large(read_places(connection, places))
    if large:
        message = f"{row.name} cannot be published: {large[0][1]}"
        raise UnpublishedError(message)
    if not rows:
        message = f"{row.name} has left the log with its partition"
        raise UnpublishedError(message)
    return rows[0]
