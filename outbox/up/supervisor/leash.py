"""Replace this process by a command that ends when its parent ends, even by kill -9.

Run as a script, on the standard library alone: `python leash.py PARENT SIGNAL UID GID COMMAND...`, where UID and GID
are -1 to stay who we are. It is a script and not a `preexec_fn`, because Python must not run between fork and exec
of a process with threads, and because the user it changes to may not be able to read the interpreter.
The kernel ties the signal to the *thread* that started us: start children from a thread that lives as long as they.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1


def become(uid: int, gid: int) -> None:
    """Drop root for good, supplementary groups included."""
    if uid < 0:
        return
    os.setgroups([])
    os.setgid(gid)
    os.setuid(uid)


def tie_to_parent(parent: int, signal_number: int) -> None:
    """Ask the kernel for `signal_number` when the parent ends; only Linux can."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal_number)
    if os.getppid() != parent:  # it ended before the kernel knew of our wish
        sys.exit(1)


def main(arguments: list[str]) -> None:
    """Become the command; returns only by an exception."""
    parent, signal_number, uid, gid = map(int, arguments[:4])
    become(uid, gid)  # first: a change of user clears the wish
    tie_to_parent(parent, signal_number)
    os.execv(arguments[4], arguments[4:])  # noqa: S606 - the commands are our own


if __name__ == "__main__":
    main(sys.argv[1:])
