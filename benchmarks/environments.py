"""Environments of rivals and of the plots: pinned, installed once, in folders of the cache; Herald depends on none."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.side import HERE

PLOTS = ("matplotlib==3.11.2",)


class EnvironmentMissingError(Exception):
    """It cannot be installed here; the text says why."""


def installed(packages: Sequence[str], cache: Path) -> Path:
    """The Python of an environment with exactly these packages (and what they need). Raises EnvironmentMissingError."""
    name = packages[0].partition("==")[0].partition("[")[0]
    digest = hashlib.sha256("\n".join(packages).encode()).hexdigest()[:8]
    folder = cache / "environments" / f"{name}-{digest}"
    python, stamp = folder / "bin" / "python", folder / ".installed"
    if not stamp.exists():
        click.echo(f"installing {', '.join(packages)}", err=True)
        _uv("venv", "--quiet", "--clear", "--python", sys.executable, str(folder))
        _uv("pip", "install", "--quiet", "--python", str(python), *packages)
        stamp.touch()
    return python


def _uv(*arguments: str) -> None:
    """The one that `make install` uses."""
    (program,) = (HERE.root / ".cache").glob("uv-*/bin/uv")
    done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentMissingError(done.stderr.strip().splitlines()[-1] if done.stderr.strip() else "uv failed")
