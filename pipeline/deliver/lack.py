"""What this machine lacks: descriptors, memory, threads, ports, or settings. No destination is to blame for it.

A call that failed for want of them was none: its attempt is given back and does not count. Whether an error
is such a one is judged here for every channel and for the handlers of topics, by the error itself and by
those it was raised from.
"""

import codecs
import errno
import os
import resource
import socket
import ssl
import threading
from collections import Counter
from collections.abc import Callable
from time import monotonic
from typing import NamedTuple

import structlog

from herald.pipeline.channel import NotSetUpError
from herald.pipeline.deliver.causes import with_causes
from herald.pipeline.sparing import OncePer

DESCRIPTORS, MEMORY, THREADS, PORTS, BUFFERS = "descriptors", "memory", "threads", "ports", "buffers"
SETTINGS = "settings"  # that a channel needs: another pipeline may have them, or this one when it starts again
_BY_NUMBER = {
    errno.EMFILE: DESCRIPTORS,
    errno.ENFILE: DESCRIPTORS,
    errno.ENOMEM: MEMORY,
    errno.ENOBUFS: BUFFERS,
    errno.EADDRNOTAVAIL: PORTS,
}
# A message may be what asks for too much memory, an address what no port of this machine leads to.
DOUBTFUL = frozenset({MEMORY, PORTS})
BELIEVED = 30  # attempts given back until a doubtful lack counts as the message's failure
_LIMITS = {DESCRIPTORS: resource.RLIMIT_NOFILE, MEMORY: resource.RLIMIT_AS, THREADS: resource.RLIMIT_NPROC}
_HIDING = (socket.gaierror, ssl.SSLError, ImportError, LookupError)  # may stand for a file that could not be opened
_SPARE = 4  # descriptors; a look-up, or an import, needs more than one at a time
_FIRST_WAIT, _LONGEST_WAIT = 1.0, 64.0  # seconds
_WITHOUT_SETTINGS = 300.0  # seconds, at most: settings come back with a person, not by themselves
_SILENCE = 30.0  # seconds between two log lines about the same lack
_log = structlog.get_logger()

codecs.lookup("idna")  # for names of hosts; a codec whose file could not be opened once is unknown from then on


class Lack(NamedTuple):
    """`kind` is one of six words; `reason` is what the system said, `channel` whose settings are lacking."""

    kind: str
    reason: str
    channel: str | None = None

    @property
    def limit(self) -> int | None:
        """How many this process may have at most, bytes of memory; None where nothing limits it or nobody says."""
        if self.kind not in _LIMITS:
            return None
        soft, _ = resource.getrlimit(_LIMITS[self.kind])
        return None if soft == resource.RLIM_INFINITY else soft


class Lacks:
    """Says in the log what is lacking: one line of each kind, and channel, in 30 s. For many threads.

    `clock` is monotonic.
    """

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._once = OncePer(_SILENCE, clock)
        self._lock = threading.Lock()
        self._given_back: Counter[tuple[str, str | None]] = Counter()

    def note(self, lack: Lack) -> None:
        """Count an attempt that was given back for it."""
        kind = lack.kind, lack.channel
        with self._lock:
            self._given_back[kind] += 1
            if not self._once.allows(kind):
                return
            count = self._given_back.pop(kind)
        if lack.kind == SETTINGS:
            _log.warning("not_set_up", channel=lack.channel, reason=lack.reason, attempts_given_back=count)
            return
        _log.warning("machine_lacks", lack=lack.kind, limit=lack.limit, reason=lack.reason, attempts_given_back=count)


def lack_in(error: BaseException) -> Lack | None:
    """What was lacking when this was raised; None where nothing of this machine was."""
    for one in with_causes(error):
        if isinstance(one, NotSetUpError):
            return Lack(SETTINGS, str(one), one.channel)
        if kind := _kind(one):
            return Lack(kind, str(one) or type(one).__name__)
    if any(isinstance(one, _HIDING) for one in with_causes(error)):
        return shortage()
    return None


def shortage() -> Lack | None:
    """Whether descriptors are short now: for those who swallow the errors of others, as resolvers do."""
    opened: list[int] = []
    try:
        opened.extend(os.open(os.devnull, os.O_RDONLY) for _ in range(_SPARE))
    except OSError as error:
        kind = _BY_NUMBER.get(error.errno or 0)
        return Lack(kind, error.strerror or str(error)) if kind else None
    finally:
        for descriptor in opened:
            os.close(descriptor)
    return None


def told_apart(error: OSError, family: socket.AddressFamily) -> OSError:
    """The error of a connection: on a machine without IPv6 its addresses cannot be reached, and no port is lacking."""
    if error.errno == errno.EADDRNOTAVAIL and family == socket.AF_INET6:
        return OSError(errno.ENETUNREACH, os.strerror(errno.ENETUNREACH))
    return error


def longest_wait(given_back: int, kind: str) -> float:
    """Seconds until the next try, at most, of an attempt given back so often, for this kind of lack at last."""
    most = _WITHOUT_SETTINGS if kind == SETTINGS else _LONGEST_WAIT
    return float(min(most, _FIRST_WAIT * 2.0 ** min(given_back, 30)))


def _kind(error: BaseException) -> str | None:
    if isinstance(error, MemoryError):
        return MEMORY
    if isinstance(error, socket.gaierror):
        return MEMORY if error.errno == socket.EAI_MEMORY else None
    if isinstance(error, OSError):
        return _BY_NUMBER.get(error.errno or 0)
    if isinstance(error, RuntimeError) and "can't start new thread" in str(error):
        return THREADS
    return None
