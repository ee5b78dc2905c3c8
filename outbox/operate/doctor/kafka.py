"""Kafka as a subject: what its brokers tell, each question asked once and with a timeout."""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple, TypeVar, cast

from confluent_kafka import KafkaError, KafkaException, TopicCollection
from confluent_kafka.admin import ClusterMetadata, ConfigResource, ConsumerGroupDescription, TopicDescription

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, answer_to, make_admin
from herald.outbox.kafka.offsets import Offsets, partitions_of, read_committed, read_end_offsets
from herald.outbox.kafka.owner import find_owner
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.kafka.topics import names, read_cluster_id
from herald.outbox.operate.doctor.finding import UntoldError
from herald.outbox.settings import Settings

Answer = TypeVar("Answer")
Config = Mapping[str, str]
OFFSETS = "__consumer_offsets"


class Stored(NamedTuple):
    """What the database remembers of Kafka."""

    cluster_id: str | None
    topic_ids: Mapping[str, str]


def asked_once(question: "Callable[[Kafka], Answer]") -> "cached_property[Answer]":
    """An attribute that is asked for once; where no answer came, the failure is raised again at once."""

    def ask(kafka: "Kafka") -> Answer:
        if question in kafka.failures:
            raise kafka.failures[question]
        try:
            return question(kafka)
        except KafkaException as error:
            kafka.failures[question] = error
            raise

    return cached_property(ask)


class Kafka:
    """Brokers, topics and the group; every question raises KafkaException. `stored` is None where it is not told."""

    def __init__(self, settings: Settings, stored: Stored | None) -> None:
        self.settings = settings
        self.stored = stored
        self.names = TopicNames(settings.topic_prefix)
        self.admin = make_admin(settings)
        self.failures: dict[object, KafkaException] = {}

    @asked_once
    def metadata(self) -> ClusterMetadata:
        """Brokers, and topics with their partitions."""
        return self.admin.list_topics(timeout=ANSWER_TIMEOUT)

    @asked_once
    def cluster_id(self) -> str:
        """Of the cluster that answers."""
        return read_cluster_id(self.admin)

    @asked_once
    def owner(self) -> str | None:
        """The instance whose topics these are; None where nobody has claimed them."""
        return find_owner(self.settings, self.admin)

    @asked_once
    def topics(self) -> dict[str, TopicDescription]:
        """The registered topics that exist."""
        present = [name for name in names() if name in self.metadata.topics]
        if not present:
            return {}
        asked = self.admin.describe_topics(TopicCollection(present), request_timeout=ANSWER_TIMEOUT)
        return {name: answer_to(future) for name, future in asked.items()}

    @asked_once
    def configs(self) -> dict[str, Config]:
        """The settings of the registered topics that exist; empty where a broker does not tell them."""
        return {name: self._config("topic", name) for name in names() if name in self.metadata.topics}

    @property
    def told_configs(self) -> dict[str, Config]:
        """The same. Raises UntoldError where no broker tells any."""
        if not any(self.configs.values()):
            raise UntoldError("this broker does not tell the settings of its topics")
        return self.configs

    @asked_once
    def broker_config(self) -> Config:
        """The settings of one broker; empty where it does not tell them."""
        return self._config("broker", str(min(self.metadata.brokers)))

    def of_broker(self, name: str) -> str:
        """A setting of one broker. Raises UntoldError."""
        if name not in self.broker_config:
            raise UntoldError("this broker does not tell its settings")
        return self.broker_config[name]

    @asked_once
    def ends(self) -> Offsets:
        """Where the registered topics end."""
        return read_end_offsets(self.admin, partitions_of(self.metadata, names()))

    @property
    def has_coordinator(self) -> bool:
        """Whether a broker knows of groups. Where none does, librdkafka may end the process that asks for one.

        (2.12.1: a null pointer in the answer NOT_COORDINATOR, an assertion in a late one.) Apache Kafka makes the topic
        of the offsets for the first group; the embedded broker has none, nor any settings to tell it by.
        """
        offsets = self.metadata.topics.get(OFFSETS)
        if offsets is None:
            return not self.broker_config
        return all(partition.leader >= 0 for partition in offsets.partitions.values())

    @asked_once
    def committed(self) -> Offsets:
        """How far the group has read; nothing where it has no broker: Apache Kafka would make one for who asks."""
        if not self.has_coordinator:
            return {}
        return read_committed(self.settings, partitions_of(self.metadata, names()))

    @asked_once
    def group(self) -> ConsumerGroupDescription:
        """The pipeline's group."""
        if not self.settings.group:
            text = "the database does not tell whose group it is"
            raise KafkaException(KafkaError(KafkaError.INVALID_GROUP_ID, text))
        asked = self.admin.describe_consumer_groups([self.settings.group], request_timeout=ANSWER_TIMEOUT)
        return cast("ConsumerGroupDescription", answer_to(asked[self.settings.group]))  # the stub says dict

    def tool(self, name: str, arguments: str) -> str:
        """The command of Kafka's own that changes something."""
        return f"{name} --bootstrap-server {self.settings.kafka_bootstrap_servers} {arguments}"

    def set_topic(self, name: str, config: str) -> str:
        """The command that changes a setting of a topic."""
        entity = f"--entity-type topics --entity-name {self.names.on_kafka(name)}"
        return self.tool("kafka-configs.sh", f"--alter {entity} --add-config {config}")

    def _config(self, kind: str, name: str) -> Config:
        resources = [ConfigResource(kind, name)]
        (asked,) = self.admin.describe_configs(resources, request_timeout=ANSWER_TIMEOUT).values()
        return {key: entry.value for key, entry in answer_to(asked).items() if entry.value is not None}
