"""Replace this process by a command that ends when its parent ends, even by kill -9.

Run as a script, on the standard library alone: `python leash.py PARENT SIGNAL UID GID COMMAND...`. It is a script and
not a `preexec_fn`, because Python must not run between fork and exec of a process with threads, and because the user
it changes to may not be able to read the interpreter.
The kernel ties the signal to the *thread* that started us: start children from a thread that lives as long as they.
"""

import ctypes
import os
import sys

PR_SET_PDEATHSIG = 1

if __name__ == "__main__":
    parent, number, uid, gid = map(int, sys.argv[1:5])
    if uid != os.geteuid():  # drop root for good, and first: a change of user clears the wish
        os.setgroups([])
        os.setgid(gid)
        os.setuid(uid)
    if sys.platform == "linux":  # elsewhere no kernel sends it
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, number)
        if os.getppid() != parent:  # it ended before the kernel knew of our wish
            sys.exit(1)
    os.execv(sys.argv[5], sys.argv[5:])
