"""Topics that nobody reads are named, and no others."""

import pytest

from herald.outbox.scheduler.behind import Standing
from herald.outbox.scheduler.unread import Unread


class Watch:
    """A clock, and what is logged meanwhile."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self.now = 0.0
        self._capsys = capsys
        self._unread = Unread(lambda: self.now)

    def look(self, *, read: int, end: int) -> bool:
        """Whether the topic is named."""
        self._unread.note(Standing({"orders": {"0": read}}, {"orders": {"0": end}}))
        return "topic_without_consumer" in self._capsys.readouterr().out


@pytest.fixture
def watch(capsys: pytest.CaptureFixture[str]) -> Watch:
    return Watch(capsys)


def test_a_topic_that_nobody_reads_is_named_after_five_minutes_and_each_quarter_of_an_hour(watch: Watch) -> None:
    told = []
    for minute in range(26):
        watch.now = minute * 60.0
        if watch.look(read=3, end=8 + minute):
            told.append(minute)

    assert told == [5, 20]


def test_a_topic_that_is_read_slowly_is_not_named(watch: Watch) -> None:
    for minute in range(60):
        watch.now = minute * 60.0
        assert not watch.look(read=minute // 4, end=1_000)


def test_a_topic_that_is_read_to_its_end_is_not_named(watch: Watch) -> None:
    for minute in range(60):
        watch.now = minute * 60.0
        assert not watch.look(read=8, end=8)

    watch.now += 60.0
    assert not watch.look(read=8, end=9), "it was unread for a moment only"
