"""Packages of a user's own, as they lie when they are installed; the registry is afterwards as it was."""

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from unittest.mock import patch

import pytest

from herald.outbox import extensions, registry

Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Call it with a package's name, its modules, and its entry points by their group."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, modules: Mapping[str, str] | None = None, **groups: Mapping[str, str]) -> None:
        folder = tmp_path / f"{name.replace('-', '_')}-1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n", encoding="utf-8")
        lines = [
            line
            for group, entries in groups.items()
            for line in (f"[herald.{group}]", *(f"{key} = {place}" for key, place in entries.items()))
        ]
        (folder / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")
        for module, text in (modules or {}).items():
            (tmp_path / f"{module}.py").write_text(text, encoding="utf-8")

    with ExitStack() as kept:
        for known in (*(kind.places for kind in extensions.KINDS), extensions.ORIGINS, registry.ELSEWHERE):
            kept.enter_context(patch.dict(known))
        yield install
    for module in [one for one in sys.modules.values() if str(getattr(one, "__file__", "")).startswith(str(tmp_path))]:
        del sys.modules[module.__name__]
