"""Topics: made when they are missing, and known by their ids, which change when a topic is made anew."""

import json
from concurrent.futures import Future

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient, NewTopic
from psycopg2.extensions import connection as Connection  # noqa: N812 - a class with a lower-case name

from outbox.kafka import ANSWER_TIMEOUT, answer_to, code
from outbox.registry import DEAD_LETTERS, TOPICS
from outbox.settings import Settings

# The broker's date counts, not that of the machine whose relay leads: Kafka 4 refuses what is more than an hour ahead
# (message.timestamp.after.max.ms), and deletes by that date what it keeps.
CLUSTERS_DEFAULT = -1  # copies: what default.replication.factor says there
CONFIG = {"message.timestamp.type": "LogAppendTime"}


def names() -> tuple[str, ...]:
    """Every topic that Herald makes: the registered ones, and the dead letters."""
    return (*TOPICS, DEAD_LETTERS)


def make_topics(admin: AdminClient, settings: Settings) -> list[str]:
    """Create the registered topics that do not exist; returns their names. Raises KafkaException."""
    present = admin.list_topics(timeout=ANSWER_TIMEOUT).topics
    missing = [name for name in names() if name not in present]
    if not missing:
        return []
    copies = settings.replication_factor or CLUSTERS_DEFAULT
    wanted = [NewTopic(name, settings.partitions, copies, config=CONFIG) for name in missing]
    for future in admin.create_topics(wanted, operation_timeout=ANSWER_TIMEOUT).values():
        _accept_existing(future)
    return missing


def _accept_existing(future: Future[None]) -> None:
    try:
        answer_to(future)
    except KafkaException as error:
        if code(error) != KafkaError.TOPIC_ALREADY_EXISTS:
            raise


def read_topic_ids(admin: AdminClient) -> dict[str, str]:
    """The ids of the registered topics that exist. Raises KafkaException."""
    ids: dict[str, str] = {}
    described = admin.describe_topics(TopicCollection(list(names())), request_timeout=ANSWER_TIMEOUT)
    for name, future in described.items():
        try:
            ids[name] = str(answer_to(future).topic_id)
        except KafkaException as error:
            if code(error) != KafkaError.UNKNOWN_TOPIC_OR_PART:
                raise
    return ids


def read_cluster_id(admin: AdminClient) -> str:
    """The id of the Kafka cluster. Raises KafkaException."""
    described = admin.describe_cluster(request_timeout=ANSWER_TIMEOUT)
    return str(answer_to(described).cluster_id)  # type: ignore[arg-type]  # the stub says dict


def load_topic_ids(connection: Connection) -> dict[str, str]:
    """The Kafka topic ids that the last term saw, by topic."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT topic_ids FROM relay_cursor WHERE name = 'relay'")
        row = cursor.fetchone()
    return dict(row[0]) if row else {}


def save_topic_ids(connection: Connection, topic_ids: dict[str, str]) -> None:
    """Remember the ids; a topic whose id changes later was deleted in between."""
    with connection.cursor() as cursor:
        cursor.execute("UPDATE relay_cursor SET topic_ids = %s::jsonb WHERE name = 'relay'", (json.dumps(topic_ids),))
