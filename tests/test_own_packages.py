"""A project that has packages `api`, `outbox` and `pipeline` of its own, as Herald's folders are called."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from tests.conftest import StartHerald
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment
from tests.servers.ports import free_port

UP = 60.0  # seconds until everything has started and one notification has arrived; about 6 on an idle machine
FILES = {
    "api/__init__.py": "OWN = True",
    "outbox/__init__.py": "OWN = True",
    "outbox/settings.py": "raise SystemExit('a module of the project took the place of one of Herald')",
    "pipeline/__init__.py": "OWN = True",
    "pipeline/process.py": "raise SystemExit('a module of the project took the place of one of Herald')",
    "pipeline/cakes.py": (
        "from herald.pipeline.topic import Topic\n"
        "baked = []\n"
        "topic = Topic(data=dict, handle=lambda cake, delivery: baked.append(cake['layers']))\n"
    ),
    "app.py": (
        "import json, sys, urllib.request\n"
        "import api, outbox, pipeline, herald.outbox.registry\n"
        "assert api.OWN and outbox.OWN and pipeline.OWN\n"
        "body = json.dumps({'user_id': '42', 'event': 'baked', 'content': 'cake'}).encode()\n"
        "request = urllib.request.Request(sys.argv[1], body, {'content-type': 'application/json'})\n"
        "print(json.load(urllib.request.urlopen(request))['status'])\n"
    ),
    "test_cakes.py": (
        "import pytest\n"
        "import api, outbox\n"
        "from pipeline import cakes\n"
        "@pytest.mark.herald(topics={'cakes': 'pipeline.cakes'})\n"
        "def test_a_cake_is_baked(herald):\n"
        "    assert api.OWN and outbox.OWN\n"
        "    herald.post('cakes', {'layers': 3})\n"
        "    herald.assert_nothing_lost()\n"
        "    assert cakes.baked == [3]\n"
    ),
}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return tmp_path


@pytest.fixture
def data() -> Iterator[Path]:
    """For the database; pytest's own folder is closed to the user that PostgreSQL runs as."""
    with TemporaryDirectory(prefix="herald-own-", ignore_cleanup_errors=True) as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "data"


def run(project: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Python in the project, whose folder comes first where modules are looked for."""
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=project, env=herald_environment({}), capture_output=True, text=True, check=False, timeout=120
    )


def test_its_tests_run_with_the_plugin(project: Path) -> None:
    done = run(project, "-m", "pytest", "-q", "-p", "no:cacheprovider")

    assert done.returncode == 0, done.stdout + done.stderr
    assert "1 passed" in done.stdout


def test_heralds_commands_answer_from_its_folder(project: Path) -> None:
    done = run(project, "-m", "herald.outbox.cli", "up", "--help")

    assert (done.returncode, "Run all of Herald on this machine" in done.stdout) == (0, True), done.stderr


def test_herald_up_and_its_app_run_from_its_folder(project: Path, start_herald: StartHerald, data: Path) -> None:
    port = free_port()
    up = start_herald("up", "--port", str(port), "--data", str(data), "--demo", "1")
    up.wait_for("1 of 1 delivered", UP)

    app = run(project, "app.py", f"http://127.0.0.1:{port}/notifications")

    assert app.stdout == "pending\n", app.stderr
    eventually(lambda: up.output().count("notification_delivered") == 2, what="what the app posted is delivered")
    assert up.stop() == 0
