"""Topics with a prefix: on Kafka all of Herald's begin with it, everywhere else none does."""

import pytest

from herald.outbox.kafka.clients import make_admin
from herald.outbox.kafka.offsets import partitions_of, read_end_offsets
from herald.outbox.kafka.topics import names
from herald.outbox.settings import Settings
from herald.pipeline.testing.herald import Herald
from tests.pipeline.testing.bakery import baked
from tests.pipeline.testing.conftest import CONSUMER

PREFIX = "shop."

pytestmark = pytest.mark.herald(topics=CONSUMER, settings={"topic_prefix": PREFIX})


def names_on_kafka(settings: Settings) -> set[str]:
    unprefixed = settings.model_copy(update={"topic_prefix": ""})
    return set(make_admin(unprefixed).list_topics(timeout=10).topics)


def test_with_a_prefix_all_is_published_and_read_under_it_and_nothing_beside_it(herald: Herald) -> None:
    cake = herald.post("cakes", {"customer": "ada", "layers": 2}, key="ada")
    adopted = herald.publish_foreign("cakes", {"customer": "bob", "layers": 1}, key="bob")
    buried = herald.publish_foreign("cakes", b"no JSON")

    herald.assert_nothing_lost(baked)

    assert adopted[0] == buried[0] == "cakes"
    assert herald.look(cake).topic == "cakes"
    assert {call.topic for call in herald.deliveries} == {"cakes"}
    assert len(herald.deliveries) == 2
    assert {f"{PREFIX}{name}" for name in names()} <= names_on_kafka(herald.settings)
    assert not set(names()) & names_on_kafka(herald.settings)


def test_offsets_are_asked_for_by_heralds_names(herald: Herald) -> None:
    herald.publish_foreign("cakes", {"customer": "bob", "layers": 1}, key="bob")
    admin = make_admin(herald.settings)

    ends = read_end_offsets(admin, partitions_of(admin.list_topics(timeout=10), names()))

    assert set(ends) == set(names())
    assert sum(ends["cakes"].values()) == 1
