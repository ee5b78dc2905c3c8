"""What has to be called inside a side: scripts that its own interpreter runs.

`serve` is started with the name of the adapter that fits the side, and does what it is asked line by line. An adapter
is a module with `connect`, `claim` and `record`; it imports nothing of this folder's package, for the side has not got
it. The first of ADAPTERS fits whose file the side has: a change of these calls brings a new adapter above the others.
"""

from pathlib import Path
from typing import NamedTuple

FOLDER = Path(__file__).parent


class Adapter(NamedTuple):
    """Fits a side that has the file `sign`."""

    name: str
    sign: str


ADAPTERS = (
    Adapter("in_herald", "outbox/moves/claim.py"),
    Adapter("at_the_top", "outbox/claims.py"),
)


def fitting(root: Path) -> str:
    """The name of the adapter. Raises LookupError where none fits."""
    for adapter in ADAPTERS:
        if (root / adapter.sign).exists():
            return adapter.name
    message = f"no adapter of {FOLDER} fits {root}"
    raise LookupError(message)
