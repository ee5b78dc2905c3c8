"""Commands for a committer that runs, and what became of them."""

import asyncio
import contextlib
from collections.abc import Iterator, Sequence

from herald.outbox.acceptance.committer import Committer
from herald.outbox.acceptance.idempotency import Receipt
from herald.outbox.moves.accept import Acceptance
from herald.outbox.postgres.statements import fetch
from tests.outbox.connections import connected, make_settings

KEY = "\0"  # which PostgreSQL refuses
REASON = "PostgreSQL refuses it: unsupported Unicode escape sequence"

CUT = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'herald-committer'"


@contextlib.contextmanager
def running(url: str) -> Iterator[Committer]:
    committer = Committer(make_settings(url, connect_timeout=2))
    committer.start()
    try:
        yield committer
    finally:
        committer.stop()


def submitted(committer: Committer, commands: Sequence[Sequence[Acceptance]]) -> list[BaseException | None]:
    """How each failed, or None."""

    async def submit_all() -> list[Receipt | BaseException]:
        return await asyncio.gather(*(committer.submit(command) for command in commands), return_exceptions=True)

    return [answer if isinstance(answer, BaseException) else None for answer in asyncio.run(submit_all())]


def stored(url: str) -> set[str]:
    with connected(url) as connection:
        return {message for (message,) in fetch(connection, "SELECT id::text FROM messages")}


def names(acceptances: Sequence[Acceptance]) -> set[str]:
    return {str(acceptance.id) for acceptance in acceptances}
