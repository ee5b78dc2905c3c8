from itertools import count

from herald.pipeline.consume.topic_ids import PAUSE, TopicIds
from tests.pipeline.records import arrival


def found(topic_ids: TopicIds, *offsets: int) -> list[str]:
    ids = []
    for offset in offsets:
        topic_ids.note(arrival(offset=offset))
        ids.append(topic_ids.find("notifications"))
    return ids


def make_topic_ids(pace: float = 0.1) -> TopicIds:
    """With a clock that goes on by `pace` seconds from one record to the next."""
    looks, ticks = count(1), count()
    return TopicIds(lambda: {"notifications": f"look {next(looks)}"}, clock=lambda: next(ticks) * pace)


def test_offsets_that_go_on_are_those_of_the_same_topic() -> None:
    assert found(make_topic_ids(), 5, 6, 7) == ["look 1"] * 3


def test_the_id_is_read_again_where_offsets_begin_anew_repeat_or_skip() -> None:
    assert found(make_topic_ids(), 5, 0, 0, 1, 3) == ["look 1", "look 2", "look 3", "look 3", "look 4"]


def test_a_record_for_which_nobody_asked_counts_as_seen() -> None:
    topic_ids = make_topic_ids()
    topic_ids.note(arrival(offset=5))

    assert found(topic_ids, 6) == ["look 1"]
    topic_ids.note(arrival(offset=0))
    assert found(topic_ids, 1) == ["look 2"]


def test_a_topic_that_kafka_does_not_name_goes_by_its_name() -> None:
    topic_ids = TopicIds(dict)

    assert found(topic_ids, 0) == ["notifications"]


def test_the_id_is_read_again_after_a_pause() -> None:
    assert found(make_topic_ids(pace=2 * PAUSE), 5, 6) == ["look 1", "look 2"]
