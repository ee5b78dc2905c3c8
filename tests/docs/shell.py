"""A shell as a reader has it open: what one block sets, the next one knows."""

import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment

PATIENCE = 60.0  # seconds for one line: a command of Herald begins within one, and within 15 on a crowded machine
DONE = "=== done "


class Shell:
    """Ends at the first command that fails, as `set -e` does; `run` then shows what it printed."""

    def __init__(self, folder: Path) -> None:
        self._log = folder / "shell.log"
        self._blocks = 0
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                ["bash", "-euo", "pipefail"],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                env={**herald_environment({}), "PAGER": "cat", "COLUMNS": "200"},
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, block: str) -> str:
        """What the block printed; raises AssertionError when a command of it failed or took too long."""
        assert self._process.poll() is None, f"an earlier command failed:\n{self._printed()[-2000:]}"
        before, mark = f"{DONE}{self._blocks}\n", f"{DONE}{self._blocks + 1}\n"
        self._blocks += 1
        assert self._process.stdin
        os.write(self._process.stdin.fileno(), f"{block}\necho; echo -n '{mark}'\n".encode())
        patience = PATIENCE * len(block.splitlines())
        eventually(lambda: mark in self._printed() or self._process.poll() is not None, patience, what=block)
        printed = self._printed().rpartition(before)[2]  # not what an earlier block printed too late
        assert mark in printed, f"{block}\nfailed with {self._process.poll()}:\n{printed}"
        return printed.removesuffix(mark).strip()

    def _printed(self) -> str:
        return self._log.read_text(encoding="utf-8", errors="replace")
