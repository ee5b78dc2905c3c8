"""Other commits of this repository, each in a folder of the cache with an environment of its own."""

import os
import subprocess
from pathlib import Path

import click

from benchmarks.side import HERE, Side

SHORT = 7  # characters of a commit's id


def checked_out(commit: str, cache: Path) -> Side:
    """The side of that commit, installed as a reader of it would. Raises ClickException where it cannot be."""
    identity = _git("rev-parse", "--verify", f"{commit}^{{commit}}")
    root = cache / identity[:12]
    if not root.exists():
        click.echo(f"installing {commit} in {root}", err=True)
        _unpack(identity, root)
    (root / ".cache").unlink(missing_ok=True)
    (root / ".cache").symlink_to((HERE.root / ".cache").resolve())  # what every checkout downloads alike
    _install(root)
    return Side(identity[:SHORT], root, root / ".venv" / "bin")


def present() -> str:
    """The commit that this checkout stands on, with a `+` where it has changes; nothing where git knows no commit."""
    described = _run(["git", "describe", "--always", f"--abbrev={SHORT}", "--exclude=*", "--dirty=+"], HERE.root)
    return described.stdout.strip() if described.returncode == 0 else ""


def _unpack(identity: str, root: Path) -> None:
    unfinished = root.with_name(f"{root.name}.unfinished")
    archive = unfinished / "archive.tar"
    unfinished.mkdir(parents=True, exist_ok=True)
    _git("archive", f"--output={archive}", identity)
    _run(["tar", "-x", "-f", str(archive)], unfinished).check_returncode()
    archive.unlink()
    unfinished.rename(root)


def _install(root: Path) -> None:
    """`make install`, which does nothing where nothing is to do; whoever called us by make is not its caller."""
    done = _run(["make", "install"], root)
    if done.returncode:
        message = f"{root} cannot be installed\n{done.stdout}{done.stderr}"
        raise click.ClickException(message)


def _git(*arguments: str) -> str:
    done = _run(["git", *arguments], HERE.root)
    if done.returncode:
        raise click.ClickException(done.stderr.strip())
    return done.stdout.strip()


def _run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)
