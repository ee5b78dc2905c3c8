"""What a rival needs and cannot get is its own lack, not the run's end."""

from pathlib import Path

import pytest

from benchmarks import environments
from benchmarks.environments import EnvironmentMissingError, installed, prepare


def test_what_cannot_be_prepared_says_why_in_one_line() -> None:
    with pytest.raises(EnvironmentMissingError, match=r"^no such package at all$"):
        prepare("sh", "-c", "echo no such; echo package at all >&2; exit 1")


def test_what_does_not_end_in_time_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "PREPARE_TIMEOUT", 0.1)

    with pytest.raises(EnvironmentMissingError, match=r"sleep did not end within 0\.1 s"):
        prepare("sleep", "60")


def test_without_uv_an_environment_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environments, "UV_HOMES", tmp_path)

    with pytest.raises(EnvironmentMissingError, match="no uv here"):
        installed(["nothing==1"], tmp_path)
