"""The README and the pages, taken apart: blocks of code, links, headings, tables."""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGES = (ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md")))

_FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]*) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_ROW = re.compile(r"^\| ?(.*?) ?\|$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block; `why` says why it cannot be run, `after` is the answer that the page shows for it."""

    language: str
    text: str
    why: str | None
    after: str | None

    @property
    def commands(self) -> list[str]:
        """Its lines, continued ones joined."""
        return self.text.replace("\\\n", " ").splitlines()


def blocks(page: Path, language: str) -> list[Block]:
    """The blocks of one language, in order."""
    return blocks_of(page.read_text(encoding="utf-8"), language)


def blocks_of(text: str, language: str) -> list[Block]:
    """The same, of a part of a page."""
    found = list(_FENCE.finditer(text))
    return [
        Block(one["language"], one["text"], one["why"], _answer(found, index))
        for index, one in enumerate(found)
        if one["language"] == language
    ]


def _answer(found: list[re.Match[str]], index: int) -> str | None:
    following = found[index + 1] if index + 1 < len(found) else None
    return following["text"] if following and following["language"] == "json" else None


def prose(page: Path) -> str:
    """The page without its blocks."""
    return _FENCE.sub("", page.read_text(encoding="utf-8"))


def links(page: Path) -> list[str]:
    """The targets of its links."""
    return [link["target"] for link in _LINK.finditer(prose(page))]


def anchors(page: Path) -> set[str]:
    """What a link may name behind `#`: its headings, as GitHub writes them."""
    headings = re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def section(page: Path, heading: str) -> str:
    """What stands between this heading and the next one of its level."""
    return prose(page).split(f"\n## {heading}\n", 1)[1].split("\n## ", 1)[0]


def rows(text: str) -> list[list[str]]:
    """The cells of a table's rows, without its head."""
    found = [[cell.strip() for cell in row.split(" | ")] for row in _ROW.findall(text)]
    return found[2:]
