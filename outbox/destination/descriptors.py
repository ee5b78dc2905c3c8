"""How many files and connections this process may have open, and whether that is enough for its settings."""

import resource

import structlog

RESERVED = 64  # beside calls: libraries, logs, PostgreSQL, Kafka's clients with a few connections to each broker
_log = structlog.get_logger()


def needed_by_pipeline(threads: int, calls: int) -> int:
    """Each call has a connection, and may look up a name or read a certificate; on the loop others rest meanwhile."""
    return RESERVED + 2 * threads + 3 * calls


def allowed() -> int | None:
    """The limit as it is, `ulimit -n`; None where there is none."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if soft == resource.RLIM_INFINITY else soft


def raise_limit(needed: int) -> int:
    """Raise the limit as far as needed and allowed; returns how many there are, `needed` where nothing limits them.

    A shell's limit is often 1024 and may be raised by anybody up to the hard one.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= needed:
        return needed
    raised = needed if hard == resource.RLIM_INFINITY else min(needed, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (raised, hard))
    return raised


def affordable(threads: int, calls: int) -> tuple[int, int]:
    """Deliveries at once, in threads and on the loop, for which descriptors suffice, at least one each.

    Says so where they are fewer than asked for.
    """
    needed = needed_by_pipeline(threads, calls)
    limit = raise_limit(needed)
    if limit >= needed:
        return threads, calls
    share = max(0, limit - RESERVED) / (needed - RESERVED)
    lowered = max(1, int(threads * share)), max(1, int(calls * share))
    _log.warning(
        "few_descriptors",
        limit=limit,
        needed=needed,
        threads=lowered[0],
        open_calls=lowered[1],
        asked_for=f"{threads} threads, {calls} calls",
    )
    return lowered
