"""What runs the clients in other languages."""

import fcntl
import os
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.conftest import ROOT

CLIENTS = ROOT / "clients"
TYPESCRIPT = CLIENTS / "typescript"
TIMEOUT = 240.0  # seconds; the first run on a machine fetches the compilers, others take a few


def missing(*programs: str) -> list[str]:
    return [name for name in programs if not shutil.which(name)]


def build_typescript() -> None:
    """The client, by one process at a time."""
    install_node_packages(TYPESCRIPT)
    with _alone(TYPESCRIPT):
        assert_passes(["node_modules/.bin/tsc"], TYPESCRIPT)


def install_node_packages(folder: Path) -> None:
    """What package-lock.json names, once, and again when that changes."""
    lock, installed = folder / "package-lock.json", folder / "node_modules" / ".package-lock.json"
    with _alone(folder):
        if not installed.exists() or installed.stat().st_mtime < lock.stat().st_mtime:
            assert_passes(["npm", "ci", "--no-audit", "--no-fund"], folder)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    with (folder / "package-lock.json").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


def assert_passes(command: Sequence[str], folder: Path, environment: dict[str, str] | None = None) -> str:
    """Returns what it printed."""
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=TIMEOUT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout
