"""The examples of the page about channels, as a reader would use them."""

import json
from pathlib import Path

import pytest

from herald.outbox.extensions import extend
from herald.outbox.settings import ChannelPolicy, Settings
from herald.pipeline.channel import Delivery, Letter, PermanentError
from herald.pipeline.load import load_channels
from tests.docs.pages import ROOT, blocks
from tests.docs.shop import entry_points, write_shop
from tests.outbox.extending import Install, install
from tests.pipeline.parts import settings
from tests.pipeline.records import new_id

PAGE = ROOT / "docs" / "channels.md"
__all__ = ["install"]


@pytest.fixture
def pager(tmp_path: Path, install: Install) -> str:
    """The file written and the line added; gives the channel's name."""
    write_shop(tmp_path)
    (name,) = entry_points("channels.md")["herald.channels"]
    install("herald-shop", channels=entry_points("channels.md")["herald.channels"])
    extend(())
    return name


def test_a_channel_of_ones_own_is_one_file_and_one_line(pager: str, capsys: pytest.CaptureFixture[str]) -> None:
    channel = load_channels(settings())[pager]
    letter = Letter(address="night", user_id="7", event="fire", subject=None, content="It burns.", data=b"{}")

    channel.deliver(letter, Delivery(id=new_id(), topic="notifications", key="7", attempt=1, timeout=1.0))

    assert "It burns." in capsys.readouterr().out
    assert channel.host("night") == "night"
    with pytest.raises(PermanentError, match="not a team: 007"):
        channel.host("007")


def test_the_settings_of_the_page_are_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    exports = [block.text for block in blocks(PAGE, "sh") if block.text.startswith("export ")]
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere/herald")
    for line in exports:
        name, _, value = line.strip().removeprefix("export ").partition("=")
        json.loads(value.strip("'"))
        monkeypatch.setenv(name, value.strip("'"))

    found = Settings(_env_file=None)

    assert len(exports) == 2
    assert found.routes["order.shipped"].channel == "email"
    assert found.channels["webhook"] == ChannelPolicy(timeout=10, max_attempts=12)


def test_one_channel_may_be_set_by_a_variable_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://nowhere/herald")
    monkeypatch.setenv("HERALD_CHANNELS__WEBHOOK__TIMEOUT", "10")

    assert Settings(_env_file=None).channels["webhook"].timeout == 10
