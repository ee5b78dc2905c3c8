"""What is measured: this checkout, or another one with an environment of its own."""

import sys
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Side:
    """A checkout, and the folder of the programs that are installed for it."""

    name: str
    root: Path
    programs: Path

    @property
    def python(self) -> Path:
        return self.programs / "python"

    @property
    def herald(self) -> Path:
        return self.programs / "herald"


HERE = Side("this", Path(__file__).parent.parent, Path(sys.executable).parent)
