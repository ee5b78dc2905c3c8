"""A mechanism, and how to take it out of the code."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent.parent


@dataclass(frozen=True)
class Edit:
    """In this file, this text, which occurs once, becomes that."""

    path: str
    old: str
    new: str

    def apply(self, tree: Path) -> None:
        """Raises AssertionError where the code no longer has the text, or has it twice."""
        file = tree / self.path
        code = file.read_text(encoding="utf-8")
        found = code.count(self.old)
        assert found == 1, f"{self.path} has {found} times: {self.old}"
        file.write_text(code.replace(self.old, self.new), encoding="utf-8")


@dataclass(frozen=True)
class Removal:
    """`mechanism` in the words of the guarantees; without it each of `tests` (path::name) fails.

    Some promises are held twice: then one removal takes both out.
    """

    mechanism: str
    edits: tuple[Edit, ...]
    tests: tuple[str, ...]
