"""What topics are called on Kafka: the prefix of this Herald, and the topic's name behind it.

Only at the edge to Kafka. In the log, the database, the API and in what a person is told a topic has its name without
the prefix, so that nothing stored speaks of it, and what is stored can be compared with what is read.
"""

from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, TypeVar

from confluent_kafka import OFFSET_INVALID, TopicCollection, TopicPartition
from confluent_kafka.admin import (
    AdminClient,
    ClusterMetadata,
    ConfigEntry,
    ConfigResource,
    ListOffsetsResultInfo,
    NewTopic,
    OffsetSpec,
    ResourceType,
    TopicDescription,
)

KAFKAS_OWN = "__"  # topics that begin so, as __consumer_offsets, are Kafka's
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class TopicNames:
    """Between Herald's name of a topic and Kafka's."""

    prefix: str = ""

    def on_kafka(self, topic: str) -> str:
        """What Kafka calls it."""
        return self.prefix + topic

    def here(self, name: str) -> str:
        """What Herald calls it."""
        return name.removeprefix(self.prefix)

    def place(self, topic: str, partition: int, offset: int = OFFSET_INVALID) -> TopicPartition:
        """A partition as Kafka's clients take it."""
        return TopicPartition(self.on_kafka(topic), partition, offset)

    def own(self, topics: Mapping[str, T]) -> dict[str, T]:
        """Of all topics on Kafka this Herald's, by its names; Kafka's own keep theirs."""
        return {self.here(name): topic for name, topic in topics.items() if name.startswith((self.prefix, KAFKAS_OWN))}


class Admin(AdminClient):
    """An admin client that is asked, and answers, by Herald's names of topics."""

    def __init__(self, config: dict[str, Any], names: TopicNames) -> None:
        super().__init__(config)
        self.names = names

    def list_topics(self, *args: Any, **kwargs: Any) -> ClusterMetadata:
        """Raises KafkaException."""
        metadata = super().list_topics(*args, **kwargs)
        metadata.topics = self.names.own(metadata.topics)
        return metadata

    def create_topics(self, new_topics: list[NewTopic], *args: Any, **kwargs: Any) -> dict[str, Future[None]]:
        """Futures by name."""
        named = [self._named(one) for one in new_topics]
        return self._here(super().create_topics(named, *args, **kwargs))

    def describe_topics(
        self, topics: TopicCollection, *args: Any, **kwargs: Any
    ) -> dict[str, Future[TopicDescription]]:
        """Futures by name."""
        named = TopicCollection([self.names.on_kafka(one) for one in topics.topic_names])
        return self._here(super().describe_topics(named, *args, **kwargs))

    def describe_configs(
        self, resources: list[ConfigResource], *args: Any, **kwargs: Any
    ) -> dict[ConfigResource, Future[dict[str, ConfigEntry]]]:
        """Futures in the order of the resources, which come back with Kafka's names."""
        named = [
            ConfigResource("topic", self.names.on_kafka(one.name)) if one.restype == ResourceType.TOPIC else one
            for one in resources
        ]
        return super().describe_configs(named, *args, **kwargs)

    def list_offsets(
        self, topic_partition_offsets: dict[TopicPartition, OffsetSpec], *args: Any, **kwargs: Any
    ) -> dict[TopicPartition, Future[ListOffsetsResultInfo]]:
        """Futures by place."""
        asked = {self.names.place(one.topic, one.partition): spec for one, spec in topic_partition_offsets.items()}
        answers = super().list_offsets(asked, *args, **kwargs)
        return {TopicPartition(self.names.here(one.topic), one.partition): future for one, future in answers.items()}

    def _named(self, topic: NewTopic) -> NewTopic:
        """The same under Kafka's name, which the client's own class does not let change."""
        name, config = self.names.on_kafka(topic.topic), topic.config or {}
        if topic.replica_assignment:
            return NewTopic(name, topic.num_partitions, replica_assignment=topic.replica_assignment, config=config)
        return NewTopic(name, topic.num_partitions, topic.replication_factor, config=config)

    def _here(self, answers: Mapping[str, T]) -> dict[str, T]:
        return {self.names.here(name): answer for name, answer in answers.items()}
