"""What packages of a user's own add to the registry, and what becomes of one that is broken."""

import sys
from threading import Event

import pytest
from click.testing import CliRunner

from herald.outbox.cli import main
from herald.outbox.extensions import CHANNEL, TOPIC, ExtensionError, extend, load, origin
from herald.outbox.registry import CHANNELS, TASKS, TOPICS
from herald.outbox.relay import process as relay
from herald.outbox.scheduler.duties import load_tasks
from herald.outbox.scheduler.task import Task
from herald.outbox.settings import SettingsError, load_settings
from herald.outbox.stopping import Stop
from herald.pipeline import process as pipeline
from herald.pipeline.load import load_channels, load_topics
from tests.outbox.connections import make_settings
from tests.outbox.extending import Install, install

__all__ = ["install"]

NOWHERE = "postgresql://nowhere/herald"
TOPIC_TEXT = "from herald.pipeline.topic import Topic\ntopic = Topic(data=dict, handle=print)\nother = topic\n"
BROKEN = "raise RuntimeError('no warehouse')"
CHANNEL_TEXT = """
class Channel:
    name = "{name}"
    def host(self, address): return ""
    def deliver(self, letter, delivery): pass
    def close(self): pass
def make_channel(settings):
    {first}
    return Channel()
"""


def test_entry_points_are_found_without_an_import(install: Install) -> None:
    install("shop", {"shop_orders": BROKEN}, topics={"orders": "shop_orders"}, channels={"pager": "shop_pager:make"})

    extend(())

    assert (TOPICS["orders"], CHANNELS["pager"]) == ("shop_orders", "shop_pager:make")
    assert (origin(TOPIC, "orders"), origin(TOPIC, "notifications")) == ("shop 1.0", "herald")
    assert "shop_orders" not in sys.modules


def test_a_module_that_the_setting_names_says_what_it_has(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("shop", {"shop": "TOPICS = {'orders': 'shop_orders:other'}", "shop_orders": TOPIC_TEXT})
    monkeypatch.setenv("HERALD_EXTENSIONS", "shop")
    monkeypatch.setenv("HERALD_STRICT_TOPICS", "orders")
    monkeypatch.setenv("DATABASE_URL", NOWHERE)

    settings = load_settings()

    assert settings.strict_topics == ("orders",)
    assert load_topics()["orders"].handle is print
    assert origin(TOPIC, "orders") == "HERALD_EXTENSIONS=shop"


def test_what_is_found_twice_at_one_place_is_there_once(install: Install) -> None:
    install("shop", {"shop": "TOPICS = {'orders': 'shop_orders'}"}, topics={"orders": "shop_orders"})

    extend(["shop"])
    extend(["shop"])

    assert list(TOPICS) == ["notifications", "generic_topic", "orders"]


def test_two_of_one_name_stop_the_start(install: Install) -> None:
    install("shop", topics={"orders": "shop_orders"})
    install("store", topics={"orders": "store_orders"})

    with pytest.raises(ExtensionError) as raised:
        extend(())

    for part in ("the topic orders (", "shop_orders, of shop 1.0", "store_orders, of store 1.0"):
        assert part in str(raised.value)


def test_nobody_takes_the_place_of_what_comes_with_herald(install: Install) -> None:
    install("shop", channels={"log": "shop_log"})

    with pytest.raises(ExtensionError, match=r"is also herald\.pipeline\.channels\.log, of herald: rename one"):
        extend(())


@pytest.mark.parametrize(
    ("kind", "name", "place", "problem"),
    [
        ("topics", "of orders", "shop", "its name must be 1 to 249 of A-Z"),
        ("topics", "__orders", "shop", "its name must be 1 to 249 of A-Z"),
        ("topics", "o" * 250, "shop", "its name must be 1 to 249 of A-Z"),
        ("topics", "..", "shop", "its name must be 1 to 249 of A-Z"),
        ("topics", "dead_letters", "shop", "the name is Herald's own"),
        ("channels", "Pager", "shop", "its name must be 1 to 63 of a-z"),
        ("channels", "pa__ger", "shop", "its name must be 1 to 63 of a-z"),
        ("tasks", "of.orders", "shop", "its name must be 1 to 63 of a-z"),
        ("topics", "orders", "shop/orders.py", "must lead to package.module, or to package.module:name"),
    ],
)
def test_a_name_or_a_place_that_is_none_is_refused(
    install: Install, kind: str, name: str, place: str, problem: str
) -> None:
    install("shop", **{kind: {name: place}})

    with pytest.raises(ExtensionError, match=f"of shop 1.0\\): .*{problem}"):
        extend(())


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BROKEN, "RuntimeError: no warehouse"),
        ("raise SystemExit(3)", "SystemExit: 3"),
        ("", "shop has none of TOPICS, CHANNELS, TASKS"),
        ("TOPICS = {'orders': print}", "shop.TOPICS must have names and places, both as text"),
    ],
)
def test_a_module_that_says_nothing_is_named(
    install: Install, monkeypatch: pytest.MonkeyPatch, text: str, problem: str
) -> None:
    install("shop", {"shop": text})
    monkeypatch.setenv("HERALD_EXTENSIONS", "shop")

    with pytest.raises(SettingsError, match="HERALD_EXTENSIONS: shop") as raised:
        load_settings()

    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BROKEN, "cannot be loaded:\nTraceback"),
        ("topics = {}", "AttributeError: module 'shop_orders' has no attribute 'topic'"),
        ("topic = print", "is no topic, but builtin_function_or_method: it lacks data, handle, draft"),
    ],
)
def test_what_cannot_be_loaded_is_named_with_its_origin_and_traceback(
    install: Install, text: str, problem: str
) -> None:
    install("shop", {"shop_orders": text}, topics={"orders": "shop_orders"})
    extend(())

    with pytest.raises(ExtensionError) as raised:
        load(TOPIC, "orders")

    assert str(raised.value).startswith("the topic orders (shop_orders, of shop 1.0) ")
    assert problem in str(raised.value)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (CHANNEL_TEXT.format(name="beeper", first="pass"), "the channel pager calls itself beeper"),
        (CHANNEL_TEXT.format(name="pager", first="1 / 0"), "cannot be made:\nTraceback"),
        ("def make_channel(settings): return 1", "is no channel, but int: it lacks name, host, deliver, close"),
        ("make_channel = 1", "is no channel, but int: it lacks __call__"),
    ],
)
def test_a_channel_that_is_none_is_named(install: Install, text: str, problem: str) -> None:
    install("shop", {"shop_pager": text}, channels={"pager": "shop_pager"})
    extend(())

    with pytest.raises(ExtensionError, match="the channel pager") as raised:
        load_channels(make_settings(NOWHERE))

    assert problem in str(raised.value)


def test_a_channel_says_itself_which_setting_is_wrong(install: Install) -> None:
    first = "from herald.outbox.settings import SettingsError; raise SettingsError('PAGER_KEY is not set')"
    install("shop", {"shop_pager": CHANNEL_TEXT.format(name="pager", first=first)}, channels={"pager": "shop_pager"})
    extend(())

    with pytest.raises(SettingsError, match=r"^PAGER_KEY is not set$"):
        load_channels(make_settings(NOWHERE))


def test_an_extension_has_tasks(install: Install) -> None:
    text = "from herald.outbox.scheduler.task import Task\ntask = Task(every=2, run=print)\n"
    install("shop", {"shop_task": text}, tasks={"count": "shop_task"})
    extend(())

    (found,) = [duty for duty in load_tasks() if duty.name == "count"]

    assert (found.every, found.act) == (2, print)


@pytest.mark.parametrize("every", [0.0, -1.0, 86_401.0, float("nan")])
def test_a_task_has_an_interval_that_can_be_kept(every: float) -> None:
    with pytest.raises(ValueError, match=r"every: .* seconds, it takes 0\.2 to 86400"):
        Task(every=every, run=lambda _connection: None)


def test_a_pipeline_does_not_start_with_a_broken_topic(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("shop", {"shop_orders": BROKEN}, topics={"orders": "shop_orders"})
    extend(())

    assert pipeline.run(make_settings(NOWHERE), Stop(), leave_within=60) == 2

    assert_named(capsys.readouterr().err, "the topic orders (shop_orders, of shop 1.0) cannot be loaded:")


def test_a_relay_does_not_start_with_a_broken_task(install: Install, capsys: pytest.CaptureFixture[str]) -> None:
    install("shop", {"shop_task": BROKEN}, tasks={"count": "shop_task"})
    extend(())

    assert relay.run(make_settings(NOWHERE), Event()) == 2

    assert_named(capsys.readouterr().err, "the task count (shop_task, of shop 1.0) cannot be loaded:")


def assert_named(text: str, first_line: str) -> None:
    lines = text.splitlines()
    assert lines[0] == first_line
    assert lines[1] == "Traceback (most recent call last):"
    assert lines[-1] == "RuntimeError: no warehouse"


def test_the_command_lists_what_was_found_and_from_where(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    install("shop", {"shop_orders": TOPIC_TEXT}, topics={"orders": "shop_orders"}, tasks={"count": "shop_task"})
    install("desk", {"desk": "CHANNELS = {'pager': 'desk_pager'}", "desk_pager": "make_channel = print"})
    monkeypatch.setenv("HERALD_EXTENSIONS", "desk")

    done = CliRunner().invoke(main, ["extensions"], env={"COLUMNS": "200"})

    rows = [tuple(line.split()) for line in done.stdout.splitlines()]
    assert ("topic", "notifications", "herald.pipeline.topics.notifications", "herald") in rows
    assert ("topic", "orders", "shop_orders", "shop", "1.0") in rows
    assert ("channel", "pager", "desk_pager", "HERALD_EXTENSIONS=desk") in rows
    assert done.exit_code == 2
    assert "the task count (shop_task, of shop 1.0) cannot be loaded:" in done.stderr
    assert "ModuleNotFoundError: No module named 'shop_task'" in done.stderr
    assert CHANNEL.places["pager"] == "desk_pager"
    assert "count" in TASKS
