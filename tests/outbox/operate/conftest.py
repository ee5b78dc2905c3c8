"""Commands, as an operator types them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import rich_click as click
from click.testing import CliRunner, Result

Run = Callable[..., Result]


@pytest.fixture
def run(database: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Run a command with these arguments on the database, far from any `.env`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DATABASE_URL", database)
    monkeypatch.setenv("COLUMNS", "300")

    def run(command: click.Command, *arguments: object, **more: Any) -> Result:
        return CliRunner().invoke(command, [str(one) for one in arguments], **more)

    return run
