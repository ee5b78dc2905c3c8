"""The package that the pages show, written as they have it."""

import tomllib
from pathlib import Path

from tests.docs.pages import ROOT, blocks

EXTENSIONS = ROOT / "docs" / "extensions.md"


def write_shop(folder: Path) -> None:
    """All of its files."""
    (package,) = blocks(EXTENSIONS, "toml")
    task, tests, _ = blocks(EXTENSIONS, "python")
    (topic,) = blocks(ROOT / "docs" / "topics.md", "python")
    (channel,) = blocks(ROOT / "docs" / "channels.md", "python")
    (folder / "herald_shop").mkdir()
    files = {"orders": topic.text, "pager": channel.text, "waiting": task.text}
    for name, text in files.items():
        (folder / "herald_shop" / f"{name}.py").write_text(text, encoding="utf-8")
    (folder / "pyproject.toml").write_text(package.text, encoding="utf-8")
    (folder / "test_shop.py").write_text(tests.text, encoding="utf-8")


def entry_points(page: str) -> dict[str, dict[str, str]]:
    """By their groups, as the page's TOML has them."""
    (block,) = blocks(ROOT / "docs" / page, "toml")
    found: dict[str, dict[str, str]] = tomllib.loads(block.text)["project"]["entry-points"]
    return found
