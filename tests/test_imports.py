"""By which names Herald is imported."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from herald.outbox.up.start import herald

PROCESSES = "herald.outbox.relay.command, herald.pipeline.process"
LOOK = (
    "from importlib.util import find_spec; print([n for n in ('api', 'outbox', 'pipeline', 'tests') if find_spec(n)])"
)


def run(command: list[str], folder: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | settings
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_herald_is_installed_under_no_name_but_its_own(tmp_path: Path) -> None:
    assert run([sys.executable, "-P", "-c", LOOK], tmp_path).stdout == "[]\n"


def test_processes_of_herald_up_import_nothing_from_where_they_are_started(tmp_path: Path) -> None:
    (tmp_path / "herald.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    (tmp_path / "structlog.py").write_text("raise SystemExit('imported')", encoding="utf-8")

    done = run([*herald("relay", {}).command, "--help"], tmp_path)

    assert (done.returncode, done.stderr) == (0, "")


def test_relay_and_pipeline_start_without_sqlalchemy(tmp_path: Path) -> None:
    """It takes longer to import than all that is Herald's in them."""
    start = "import herald.outbox.relay.process, herald.pipeline.process, sys; print('sqlalchemy' in sys.modules)"

    assert run([sys.executable, "-P", "-c", start], tmp_path).stdout == "False\n"


@pytest.mark.parametrize(
    "setting", [{}, {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9", "OTEL_SDK_DISABLED": "true"}]
)
def test_without_traces_no_process_imports_anything_of_opentelemetry(tmp_path: Path, setting: dict[str, str]) -> None:
    begin = "traces.begin('relay'); print([name for name in sys.modules if name.startswith('opentelemetry')])"
    start = f"import herald.api.process, {PROCESSES}, sys; from herald.outbox.watched import traces; {begin}"

    assert run([sys.executable, "-P", "-c", start], tmp_path, **setting).stdout == "[]\n"
