"""Environments of rivals and of the plots: pinned, installed once, in folders of the cache; Herald depends on none."""

import hashlib
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from benchmarks.side import HERE

UV_HOMES = HERE.root / ".cache"  # the Makefile has a folder there for each version
PREPARE_TIMEOUT = 600.0  # seconds of a download of up to 780 MB
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


def prepare(*command: str) -> None:
    """Run it. Raises EnvironmentMissingError with what it said, where it fails or has not ended after ten minutes."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PREPARE_TIMEOUT)
    except subprocess.TimeoutExpired as error:
        message = f"{command[0]} did not end within {PREPARE_TIMEOUT:g} s"
        raise EnvironmentMissingError(message) from error
    if done.returncode:
        said = " ".join((done.stdout + done.stderr).split())
        raise EnvironmentMissingError(said[:300] or f"{command[0]} failed")


def _uv(*arguments: str) -> None:
    """One that `make install` has used."""
    found = sorted(UV_HOMES.glob("uv-*/bin/uv"))
    if not found:
        raise EnvironmentMissingError("no uv here: `make install` brings it")
    prepare(str(found[-1]), *arguments)
