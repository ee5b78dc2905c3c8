"""Herald's own processes, run as an operator runs them."""

import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests.servers.child import Child

KEPT = ("PATH", "HOME", "LANG", "TMPDIR", "XDG_RUNTIME_DIR")  # what a clean environment still needs


def herald_environment(settings: Mapping[str, str]) -> dict[str, str]:
    """Only what the test says: no setting of the developer's shell reaches the process.

    Its group has a known name, and its API needs no key; what is empty is left out.
    """
    kept = {name: os.environ[name] for name in KEPT if name in os.environ}
    known = {"PYTHONUNBUFFERED": "1", "HERALD_LOG_FORMAT": "json", "HERALD_GROUP": "herald", "HERALD_OPEN": "yes"}
    return {name: value for name, value in {**kept, **known, **settings}.items() if value}


class HeraldProcess(Child):
    """`herald ROLE` in a folder of its own, so that no `.env` of the checkout is read.

    `program` is that of another checkout.
    """

    def __init__(
        self,
        role: str,
        *arguments: str,
        folder: Path,
        settings: Mapping[str, str],
        program: Sequence[str] = (sys.executable, "-m", "herald.outbox.cli"),
    ) -> None:
        self.role = role
        super().__init__(
            [*program, role, *arguments],
            log=folder / f"{role}-{len(list(folder.glob('*.log')))}.log",
            env=herald_environment(settings),
            cwd=folder,
        )
