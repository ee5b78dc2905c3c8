"""A small file system in memory that a test can fill up."""

import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

BALLAST = "ballast"
PIECE = bytes(65_536)


class Disk:
    """Mounted on an empty folder; skips the test where it may not mount."""

    def __init__(self, folder: Path, size: int) -> None:
        self._folder = folder
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            pytest.skip(f"a disk that gets full cannot be mounted here: {done.stderr.strip()}")

    def fill(self, *, leave: int = 0) -> None:
        """Take all space but so many bytes; others may take some meanwhile."""
        with (self._folder / BALLAST).open("wb", buffering=0) as ballast:
            with suppress(OSError):
                while True:
                    ballast.write(PIECE)
            ballast.truncate(max(0, ballast.tell() - leave))

    def free(self) -> None:
        """Give back what was taken."""
        (self._folder / BALLAST).unlink(missing_ok=True)

    def unmount(self) -> None:
        """Forget everything on it; nobody may use it any more."""
        subprocess.run(["umount", "--lazy", str(self._folder)], check=True)
