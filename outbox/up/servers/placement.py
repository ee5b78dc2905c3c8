"""Where the embedded PostgreSQL lives, and as whom it runs.

PostgreSQL refuses to run as root. For root we take an account without rights, and that account must be able to pass
every folder above its data. A folder that is closed to it stays closed: the data goes elsewhere instead.
"""

import hashlib
import os
import pwd
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from herald.outbox.up.supervisor.child import Account

UNPRIVILEGED = "nobody"
SHARED = Path("/var/tmp")  # noqa: S108 - only folders that we make and check; survives a reboot, unlike /tmp
LONGEST_SOCKET = 103  # bytes of a socket's path: macOS 103, Linux 107
SOCKET = ".s.PGSQL.5432"

Stat = Callable[[Path], os.stat_result]


class PlacementError(Exception):
    """There is no safe place for the data; the text says what to change."""


@dataclass(frozen=True)
class Placement:
    """`home` holds the folders `postgres` and `socket`; `moved` when it is not the folder asked for."""

    home: Path
    account: Account | None
    moved: bool = False


def place(data: Path, account: Account | None, *, elsewhere: Path, look: Stat = os.stat) -> Placement:
    """Decide where the server's files go; touches nothing. `account` is None unless we are root.

    Data that was once placed elsewhere stays there, even when its first home has become reachable.
    """
    if account is None:
        return Placement(data, None)
    if _exists(elsewhere / "postgres", look) or not passable(data, account, look):
        return Placement(elsewhere, account, moved=True)
    return Placement(data, account)


def passable(path: Path, account: Account, look: Stat = os.stat) -> bool:
    """Whether the account may pass `path` and every folder above it; what does not exist yet is ours to open."""
    return all(_may(account, look(each), stat.S_IXUSR) for each in (path, *path.parents) if _exists(each, look))


def runnable(program: Path, account: Account, look: Stat = os.stat) -> bool:
    """Whether the account reaches a program, may execute it and may read what lies beside it."""
    reads_and_runs = stat.S_IXUSR | stat.S_IRUSR
    return passable(program.parent, account, look) and _may(account, look(program), reads_and_runs)


def account_for(data: Path) -> Account | None:
    """Return whom to run the server as: None, or for root the owner of existing data, else an account without rights.

    Raises PlacementError when existing data belongs to somebody else than us.
    """
    existing = data / "postgres"
    owner = existing.stat().st_uid if existing.exists() else None
    if os.geteuid() != 0:
        if owner not in {None, os.geteuid()}:
            message = f"{existing} belongs to another user ({owner}): choose another folder with --data"
            raise PlacementError(message)
        return None
    if owner:
        return Account(owner, existing.stat().st_gid)
    return _unprivileged()


def elsewhere_for(data: Path, base: Path = SHARED) -> Path:
    """Return the one folder below `base` that belongs to this data folder and this user."""
    digest = hashlib.sha256(f"{os.geteuid()}:{data}".encode()).hexdigest()[:12]
    return base / f"herald-{digest}"


def socket_home(home: Path, data: Path) -> Path:
    """Return the folder for `socket`: `home`, unless its name is too long for a socket or holds a comma."""
    path = home / "socket" / SOCKET
    if len(os.fsencode(path)) > LONGEST_SOCKET or "," in str(path):  # libpq takes a comma for a list of hosts
        return elsewhere_for(data, Path("/tmp"))  # noqa: S108 - made and checked by make_folder
    return home


def make_folder(path: Path, *, mode: int, account: Account | None = None) -> None:
    """Make a folder with this mode for this account, or check that the existing one is still safe.

    Raises PlacementError when it belongs to somebody else, others may write to it, or it is a link. Changes no folder
    that exists.
    """
    owner = account.uid if account else os.geteuid()
    try:
        path.mkdir()
    except FileExistsError:
        _check(path, owner)
        return
    path.chmod(mode)  # not mkdir's: the umask would take bits away
    if account:
        os.chown(path, account.uid, account.gid)


def _check(path: Path, owner: int) -> None:
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        message = f"{path} is not a folder that only its owner (user {owner}) can write: remove it, or change --data"
        raise PlacementError(message)


def _unprivileged() -> Account:
    try:
        entry = pwd.getpwnam(UNPRIVILEGED)
    except KeyError:
        message = f"PostgreSQL refuses root and there is no user {UNPRIVILEGED}: run herald up as another user"
        raise PlacementError(message) from None
    return Account(entry.pw_uid, entry.pw_gid)


def _exists(path: Path, look: Stat) -> bool:
    try:
        look(path)
    except OSError:
        return False
    return True


def _may(account: Account, found: os.stat_result, wanted: int) -> bool:
    """Compare with the bits of owner, group or others, whichever is the account's; `wanted` in the owner's bits."""
    if found.st_uid == account.uid:
        return found.st_mode & wanted == wanted
    shift = 3 if found.st_gid == account.gid else 6
    return (found.st_mode << shift) & wanted == wanted
