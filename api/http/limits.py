"""What one API process gives its callers at most: connections, bytes and seconds."""

import resource
from dataclasses import dataclass

import structlog

from herald.outbox.settings import Settings

BACKLOG = 256  # connections that the kernel holds until they are accepted; all of them may be at once
OWN_FILES = 64  # descriptors for logs, the event loop, and a server that is away; the pools come on top
FREE_BODY = 65_536  # bytes of a body that are not counted: that many are read before anybody asks for them
MOST_PIPELINED = 16  # requests that may wait on a connection behind one that is being answered
LINGER = 2.0  # seconds that a refused client gets to read why
_log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Limits:
    """Bytes and seconds."""

    connections: int
    header_bytes: int
    header_seconds: float
    request_seconds: float
    idle_seconds: float
    body_bytes: int


def limits_of(settings: Settings) -> Limits:
    """The settings' limits; of connections fewer, where the system lets this process open too few files."""
    return Limits(
        connections=_connections(settings),
        header_bytes=settings.max_header,
        header_seconds=settings.header_timeout,
        request_seconds=settings.request_timeout,
        idle_seconds=settings.idle_timeout,
        body_bytes=max(settings.max_body, settings.max_bulk_body),
    )


def _connections(settings: Settings) -> int:
    reserve = OWN_FILES + BACKLOG + settings.pool_size
    wanted = settings.max_connections
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    files = _raised(soft, hard, wanted + reserve)
    possible = wanted if files == resource.RLIM_INFINITY else min(wanted, files - reserve)
    if possible < wanted:
        possible = max(1, possible)
        _log.warning("fewer_connections", connections=possible, wanted=wanted, open_files=files, reserved=reserve)
    return possible


def _raised(soft: int, hard: int, needed: int) -> int:
    """The soft limit, raised as far as the process may and needs."""
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return soft
    raised = needed if hard == resource.RLIM_INFINITY else min(hard, needed)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised
