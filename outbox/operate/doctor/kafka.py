"""Kafka as a subject: what its brokers tell, each question asked once and with a timeout."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple, TypeVar

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import ClusterMetadata, ConfigResource, ConsumerGroupDescription, TopicDescription

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, answer_to, make_admin
from herald.outbox.kafka.offsets import Offsets, partitions_of, read_committed, read_end_offsets
from herald.outbox.kafka.owner import find_owner
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.kafka.topics import names, read_cluster_id
from herald.outbox.settings import Settings

Answer = TypeVar("Answer")
Config = Mapping[str, str]
OFFSETS = "__consumer_offsets"


class Stored(NamedTuple):
    """What the database remembers of Kafka."""

    cluster_id: str | None
    topic_ids: Mapping[str, str]


class Kafka:
    """Brokers, topics and the group. `stored` is None where the database did not tell.

    Every question raises KafkaException, at once when it failed before.
    """

    def __init__(self, settings: Settings, stored: Stored | None) -> None:
        self.settings = settings
        self.stored = stored
        self.names = TopicNames(settings.topic_prefix)
        self.admin = make_admin(settings)
        self._failures: dict[str, KafkaException] = {}

    @cached_property
    def metadata(self) -> ClusterMetadata:
        """Brokers, and topics with their partitions."""
        return self._ask("metadata", lambda: self.admin.list_topics(timeout=ANSWER_TIMEOUT))

    @cached_property
    def cluster_id(self) -> str:
        """Of the cluster that answers."""
        return self._ask("cluster", lambda: read_cluster_id(self.admin))

    @cached_property
    def owner(self) -> str | None:
        """The instance whose topics these are; None where nobody has claimed them."""
        return self._ask("owner", lambda: find_owner(self.settings, self.admin))

    @cached_property
    def present(self) -> list[str]:
        """Which of the registered topics exist."""
        return [name for name in names() if name in self.metadata.topics]

    @cached_property
    def topics(self) -> dict[str, TopicDescription]:
        """The registered topics that exist."""
        return self._ask("topics", self._describe_topics)

    @cached_property
    def configs(self) -> dict[str, Config]:
        """The settings of these topics; empty where a broker does not tell them."""
        return self._ask("configs", lambda: {name: self._config("topic", name) for name in self.present})

    @cached_property
    def broker_config(self) -> Config:
        """The settings of one broker; empty where it does not tell them."""
        return self._ask("broker", lambda: self._config("broker", str(min(self.metadata.brokers))))

    @cached_property
    def ends(self) -> Offsets:
        """Where the registered topics end."""
        return self._ask("ends", lambda: read_end_offsets(self.admin, partitions_of(self.metadata, names())))

    @cached_property
    def has_coordinator(self) -> bool:
        """Whether a broker knows of groups. Where none does, librdkafka may end the process that asks for one.

        (2.12.1: a null pointer in the answer NOT_COORDINATOR, an assertion in a late one.) Apache Kafka makes the topic
        of the offsets for the first group; the embedded broker has none, nor any settings to tell it by.
        """
        offsets = self.metadata.topics.get(OFFSETS)
        if offsets is None:
            return not self.broker_config
        return all(partition.leader >= 0 for partition in offsets.partitions.values())

    @cached_property
    def committed(self) -> Offsets:
        """How far the group has read; nothing where it has no broker: Apache Kafka would make one for who asks."""
        if not self.has_coordinator:
            return {}
        return self._ask("committed", lambda: read_committed(self.settings, partitions_of(self.metadata, names())))

    @cached_property
    def group(self) -> ConsumerGroupDescription:
        """The pipeline's group."""
        return self._ask("group", self._describe_group)

    def tool(self, name: str, arguments: str) -> str:
        """The command of Kafka's own that changes something."""
        return f"{name} --bootstrap-server {self.settings.kafka_bootstrap_servers} {arguments}"

    def set_topic(self, name: str, config: str) -> str:
        """The command that changes a setting of a topic."""
        entity = f"--entity-type topics --entity-name {self.names.on_kafka(name)}"
        return self.tool("kafka-configs.sh", f"--alter {entity} --add-config {config}")

    def _ask(self, name: str, question: Callable[[], Answer]) -> Answer:
        if name in self._failures:
            raise self._failures[name]
        try:
            return question()
        except KafkaException as error:
            self._failures[name] = error
            raise

    def _describe_topics(self) -> dict[str, TopicDescription]:
        if not self.present:
            return {}
        asked = self.admin.describe_topics(TopicCollection(self.present), request_timeout=ANSWER_TIMEOUT)
        return {name: answer_to(future) for name, future in asked.items()}

    def _describe_group(self) -> ConsumerGroupDescription:
        if not self.settings.group:
            message = "the database does not tell whose group it is"
            raise KafkaException(message)  # type: ignore[arg-type]  # as librdkafka's own calls do
        asked = self.admin.describe_consumer_groups([self.settings.group], request_timeout=ANSWER_TIMEOUT)
        return answer_to(asked[self.settings.group])  # type: ignore[return-value]  # the stub says dict

    def _config(self, kind: str, name: str) -> Config:
        resources = [ConfigResource(kind, name)]
        (asked,) = self.admin.describe_configs(resources, request_timeout=ANSWER_TIMEOUT).values()
        return {key: entry.value for key, entry in answer_to(asked).items() if entry.value is not None}
