"""Topics: made when they are missing, and known by their ids, which change when a topic is made anew."""

import json
import time
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, cast

import structlog
from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, answer_to, code, explanation, is_silence
from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, find_one
from herald.outbox.registry import DEAD_LETTERS, registered_topics
from herald.outbox.settings import Settings

# The broker's date counts, not that of the machine whose relay leads: Kafka 4 refuses what is more than an hour ahead
# (message.timestamp.after.max.ms), and deletes by that date what it keeps.
CLUSTERS_DEFAULT = -1  # copies: what default.replication.factor says there
CONFIG = {"message.timestamp.type": "LogAppendTime"}
TELL = 60.0  # seconds between two log lines that a topic is refused
_told: dict[str, float] = {}  # topics that were refused, and when it was said by the monotonic clock
_log = structlog.get_logger()


def names() -> tuple[str, ...]:
    """Every topic that Herald makes: the registered ones, and the dead letters."""
    return (*registered_topics(), DEAD_LETTERS)


def make_topics(admin: AdminClient, settings: Settings) -> list[str]:
    """Create the registered topics that do not exist; returns their names.

    One that Kafka refuses to make stops no other: it is withheld as missing. Raises KafkaException where none answers.
    """
    present = admin.list_topics(timeout=ANSWER_TIMEOUT).topics
    missing = [name for name in names() if name not in present]
    if not missing:
        return []
    copies = settings.replication_factor or CLUSTERS_DEFAULT
    wanted = [NewTopic(name, settings.partitions, copies, config=CONFIG) for name in missing]
    asked = admin.create_topics(wanted, operation_timeout=ANSWER_TIMEOUT)
    return [name for name, future in asked.items() if _is_made(name, future)]


def _is_made(name: str, future: Future[None]) -> bool:
    try:
        answer_to(future)
    except KafkaException as error:
        if is_silence(error):
            raise
        if code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
            _tell_refused(name, error)
            return False
    return True


def _tell_refused(name: str, error: KafkaException) -> None:
    now = time.monotonic()
    if now - _told.get(name, -TELL) >= TELL:
        _told[name] = now
        _log.error("topic_refused", topic=name, reason=explanation(error), consequence="what belongs there waits")


def read_topic_ids(admin: AdminClient, stored: Mapping[str, str] | None = None) -> dict[str, str]:
    """The ids of the registered topics that exist; of one that may not be described, the `stored` one if there is one.

    Raises KafkaException.
    """
    ids: dict[str, str] = {}
    described = admin.describe_topics(TopicCollection(list(names())), request_timeout=ANSWER_TIMEOUT)
    for name, future in described.items():
        try:
            ids[name] = str(answer_to(future).topic_id)
        except KafkaException as error:
            if code(error) not in {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError.TOPIC_AUTHORIZATION_FAILED}:
                raise
            if code(error) == KafkaError.TOPIC_AUTHORIZATION_FAILED and stored and name in stored:
                ids[name] = stored[name]
    return ids


def read_cluster_id(admin: AdminClient) -> str:
    """The id of the Kafka cluster. Raises KafkaException."""
    described = admin.describe_cluster(request_timeout=ANSWER_TIMEOUT)
    return str(answer_to(cast("Any", described)).cluster_id)  # the stub says dict


def load_topic_ids(connection: Connection) -> dict[str, str]:
    """The Kafka topic ids that the last term saw, by topic."""
    row = find_one(connection, "SELECT topic_ids FROM relay_cursor WHERE name = 'relay'")
    return dict(row[0]) if row else {}


def save_topic_ids(connection: Connection, topic_ids: dict[str, str]) -> None:
    """Remember the ids; a topic whose id changes later was deleted in between."""
    execute(connection, "UPDATE relay_cursor SET topic_ids = %s::jsonb WHERE name = 'relay'", json.dumps(topic_ids))
