"""The plugin's own fixtures, with a consumer to test."""

from pathlib import Path

import pytest

from tests.pipeline.testing.bakery import VARIABLE

CONSUMER = {"cakes": "tests.pipeline.testing.bakery"}


@pytest.fixture(autouse=True)
def bakery(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file of what was baked, empty."""
    (tmp_path / "baked").touch()
    monkeypatch.setenv(VARIABLE, str(tmp_path / "baked"))
