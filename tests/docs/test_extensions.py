"""The package of the pages about extensions: built, installed beside Herald's wheel, and run."""

import json
import shutil
import subprocess
import tempfile
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, blocks
from tests.docs.shop import EXTENSIONS, entry_points, write_shop
from tests.installed import build, make_environment
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment
from tests.servers.ports import free_port

STARTED = 120.0  # seconds; about 8 on an idle machine
DELIVERED = 60.0  # seconds; the embedded broker lets the first consumer in after some
READABLE = {"HERALD_LOG_FORMAT": "console"}
PATIENCE = 300.0  # seconds for a command


@dataclass(frozen=True)
class Installed:
    """An environment that has both wheels and what Herald requires; `folder` has nothing but tests."""

    python: Path
    folder: Path

    def run(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.python, *arguments],
            cwd=self.folder,
            env=herald_environment(environment),
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
        )


@pytest.fixture(scope="module")
def installed() -> Iterator[Installed]:
    """Not in pytest's folder: that one is closed to the account that PostgreSQL gets for root."""
    with tempfile.TemporaryDirectory(prefix="herald-shop-", ignore_cleanup_errors=True) as name:
        made = Path(name)
        made.chmod(0o711)
        for part in ("source", "tests", "dist/herald", "dist/shop"):
            (made / part).mkdir(parents=True)
        write_shop(made / "source")
        shutil.copy(made / "source" / "test_shop.py", made / "tests")
        wheels = build(ROOT, made / "dist/herald"), build(made / "source", made / "dist/shop")
        make_environment(made / "environment", ["herald[embedded]", "pytest"], wheels)
        yield Installed(made / "environment" / "bin" / "python", made / "tests")


def test_the_lines_of_the_pages_stand_in_the_package() -> None:
    package = entry_points("extensions.md")

    assert package.items() >= {**entry_points("topics.md"), **entry_points("channels.md")}.items()


def test_its_tests_pass_with_heralds_plugin(installed: Installed) -> None:
    done = installed.run("-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 passed" in done.stdout


def test_the_command_says_where_all_of_it_is_from(installed: Installed, tmp_path: Path) -> None:
    *_, tables = blocks(EXTENSIONS, "python")
    (tmp_path / "shop.py").write_text(tables.text, encoding="utf-8")
    settings = {"COLUMNS": "200", "PYTHONPATH": str(tmp_path), "HERALD_EXTENSIONS": "shop"}

    done = installed.run("-P", "-m", "herald.outbox.cli", "extensions", **settings)

    rows = [line.split() for line in done.stdout.splitlines()]
    assert done.returncode == 0, done.stderr
    for kind, name, module in (
        ("topic", "orders", "orders"),
        ("channel", "pager", "pager"),
        ("task", "orders_wait", "waiting"),
    ):
        assert [kind, name, f"herald_shop.{module}", "herald-shop", "1.0"] in rows


def test_topic_channel_and_task_work_under_herald_up(installed: Installed) -> None:
    port = free_port()
    command = [str(installed.python), "-P", "-m", "herald.outbox.cli", "up", "--port", str(port), "--data", "data"]
    up = Child(command, log=installed.folder / "up.log", env=herald_environment(READABLE), cwd=installed.folder)
    up.start()
    try:
        up.wait_for("another terminal", STARTED)
        order = post(port, "messages", topic="orders", data={"order_id": "o-1", "warehouse": "south", "pieces": 3})
        fire = {"user_id": "7", "event": "fire", "content": "It burns."}
        call = post(port, "notifications", **fire, channel="pager", address="night")

        eventually(lambda: (look(port, order), look(port, call)) == ("sent", "sent"), DELIVERED)
        up.wait_for("orders_wait count=", DELIVERED)
        assert "order_passed_on order=o-1" in up.output()
        assert "called team=night" in up.output()
    finally:
        code = up.stop()
    assert code == 0, up.tail()


def post(port: int, path: str, **body: object) -> str:
    headers = {"content-type": "application/json"}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=DELIVERED) as answer:
        return str(json.load(answer)["id"])


def look(port: int, message: str) -> str:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/messages/{message}", timeout=DELIVERED) as answer:
        return str(json.load(answer)["status"])


def test_a_broken_extension_stops_herald_up_before_anything_starts(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("TOPICS = {'lost': 'broken_topic'}", encoding="utf-8")
    (tmp_path / "broken_topic.py").write_text("raise RuntimeError('no warehouse')", encoding="utf-8")
    settings = {"PYTHONPATH": str(tmp_path), "HERALD_EXTENSIONS": "broken"}

    done = installed.run(
        "-P", "-m", "herald.outbox.cli", "up", "--port", str(free_port()), "--data", "none", **settings
    )

    assert done.returncode == 1
    assert "the topic lost (broken_topic, of HERALD_EXTENSIONS=broken) cannot be loaded:" in done.stdout
    assert "RuntimeError: no warehouse" in done.stdout
    assert "an extension is broken; nothing was started" in done.stdout
    assert "starting the embedded" not in done.stdout


def test_alembic_works_with_the_wheel_alone(installed: Installed, empty_database: str, tmp_path: Path) -> None:
    (configuration,) = blocks(EXTENSIONS, "ini")
    (tmp_path / "alembic.ini").write_text(configuration.text, encoding="utf-8")
    file = str(tmp_path / "alembic.ini")

    for arguments in (("upgrade", "head"), ("current",), ("upgrade", "head", "--sql")):
        done = installed.run("-P", "-m", "alembic", "-c", file, *arguments, DATABASE_URL=empty_database)
        assert done.returncode == 0, done.stdout + done.stderr
        assert {"current": "0001 (head)", "--sql": "CREATE TABLE"}.get(arguments[-1], "") in done.stdout
