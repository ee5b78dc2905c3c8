"""The tables that say when a failed message is tried again are those of the code."""

import pytest

from herald.outbox.destination.policies import policy
from herald.outbox.destination.retries import Retries
from tests.docs.pages import ROOT
from tests.outbox.connections import make_settings

CHANNELS = ROOT / "docs" / "channels.md"
DAY, HOUR = 86_400.0, 3_600.0
HEAD = "| attempt | after the one before it | after the first |\n|---|---|---|\n"
STRICT = make_settings("postgresql://nowhere/herald", strict_topics=("notifications",))
BY_DEFAULT = policy(STRICT, "email").retries
IF_STRICT = policy(STRICT, "email", topic="notifications").retries


@pytest.mark.parametrize(
    ("mark", "retries", "shown"),
    [
        ("<!-- retries:", BY_DEFAULT, (2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 20, 24, 29)),
        ("<!-- strict retries:", IF_STRICT, (2, 3, 4, 6, 8, 10, 11, 16, 22, 28, 33)),
    ],
)
def test_the_table_of_attempts_is_that_of_the_defaults(mark: str, retries: Retries, shown: tuple[int, ...]) -> None:
    text = CHANNELS.read_text(encoding="utf-8")

    assert shown[-1] == retries.attempts
    assert text.partition(mark)[2].partition("-->\n\n")[2].startswith(table(retries, shown))


def table(retries: Retries, shown: tuple[int, ...]) -> str:
    return HEAD + "".join(
        f"| {one} | {_between(retries.bounds(one - 1))} | {_between(retries.after(one))} |\n" for one in shown
    )


def _between(bounds: tuple[float, float]) -> str:
    return " to ".join(_shown(seconds) for seconds in bounds)


def _shown(seconds: float) -> str:
    """Two digits are enough for a person."""
    for size, unit in ((3600.0, "h"), (60.0, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"


@pytest.mark.parametrize("channel", ["email", "webhook", "apprise", "log", None])
def test_by_default_everything_is_tried_for_about_a_day(channel: str | None) -> None:
    least, most = policy(STRICT, channel).retries.after(BY_DEFAULT.attempts)

    assert (least + most) / 2 == pytest.approx(DAY, rel=0.02)
    assert least > DAY / 2


def test_grey_listing_of_five_minutes_and_an_outage_of_an_hour_are_outlasted() -> None:
    for duration in (300.0, HOUR):
        assert IF_STRICT.after(IF_STRICT.attempts)[0] > duration
        assert BY_DEFAULT.after(BY_DEFAULT.attempts)[0] > duration
    assert BY_DEFAULT.after(10)[1] < 9 * 60
    assert BY_DEFAULT.after(11)[0] > 300.0


def test_a_strict_topic_is_held_up_for_two_hours_and_a_few_minutes_at_most() -> None:
    assert IF_STRICT.after(IF_STRICT.attempts)[1] < 2.1 * HOUR
