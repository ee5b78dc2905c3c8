"""Reports: shown when a command ends, and put into a page, docs/proof.md for most, where that is asked for."""

import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

PAGE = Path(__file__).parent.parent.parent.parent / "docs" / "proof.md"


def machine() -> str:
    """When and where, for the head of a report."""
    servers = "PostgreSQL 18 (fsync on), Apache Kafka 4.4.0"
    return f"{datetime.now(UTC):%Y-%m-%d}, {os.cpu_count()} shared cores, Python {platform.python_version()}, {servers}"


def table(head: tuple[str, str], figures: Mapping[str, object]) -> str:
    """Two columns in Markdown; numbers get their commas."""
    rows = [f"| {name} | {_shown(value)} |" for name, value in figures.items()]
    return "\n".join([f"| {head[0]} | {head[1]} |", "|---|---|", *rows])


def measured(head: str, figures: Mapping[str, object], verdict: str) -> str:
    """A whole report: where and how, what was measured, and the oracle's word."""
    return paragraphs([head, table(("", "measured"), figures), verdict])


def paragraphs(parts: Iterable[str]) -> str:
    return "\n\n".join(parts)


def record(name: str, text: str, *, page: Path = PAGE) -> None:
    """Put it into the page between the two marks of that name. Raises ValueError where the page has none."""
    before, _, after = _parted(name, page)
    page.write_text(f"{before}{text}\n{after}", encoding="utf-8")


def recorded(name: str) -> str:
    """What the page has between the two marks of that name. Raises ValueError where it has none."""
    return _parted(name, PAGE)[1]


def _parted(name: str, page: Path) -> tuple[str, str, str]:
    before, opening, rest = page.read_text(encoding="utf-8").partition(f"<!-- {name}: ")
    comment, _, rest = rest.partition("\n")
    text, closing, after = rest.partition(f"<!-- /{name} -->")
    if not opening or not closing:
        message = f"{page.name} has no marks for {name}"
        raise ValueError(message)
    return f"{before}{opening}{comment}\n", text, closing + after


def _shown(value: object) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)
