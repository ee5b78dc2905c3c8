"""The vectors of the functions in SQL, run by the client in Python: each step is a transaction of its own."""

import asyncio
import json
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager, suppress
from typing import Any

from herald_client import AsyncOutbox, Client, HeraldError, NotFoundError, Outbox

from tests.clients.conftest import Run
from tests.clients.python_runner import plain, shown
from tests.clients.vectors import filled, fits

Way = Callable[[str], AbstractContextManager[Any]] | Callable[[str], AbstractAsyncContextManager[Any]]


class UndoneError(Exception):
    """Ends a transaction that is to be rolled back."""


async def run_outbox(run: Run, way: Way) -> list[str]:
    """Returns what failed."""
    with Client(run.herald_url) as client:
        return [text for vector in run.vectors["sql"] if (text := await _steps(vector, client, way, run.database_url))]


async def is_undone(run: Run, way: Way) -> bool:
    """Whether what was sent in a transaction that is rolled back, for an error behind it, is nowhere."""
    sent: list[object] = []

    def fail(answer: object) -> None:
        sent.append(answer)
        raise UndoneError

    with suppress(UndoneError):
        await in_transaction(way, run.database_url, "send", {"topic": "generic_topic", "data": {}}, and_then=fail)
    with Client(run.herald_url) as client, suppress(NotFoundError):
        client.message(str(sent[0]))
        return False
    return True


async def in_transaction(
    way: Way, url: str, name: str, given: dict[str, Any], *, and_then: Callable[[object], None] = lambda _: None
) -> Any:
    """One call, and what comes behind it, in one; those that wait do so in a thread, as Django insists."""
    made = way(url)
    if not isinstance(made, AbstractAsyncContextManager):
        return await asyncio.to_thread(_in_transaction, made, name, given, and_then)
    async with made as connection:
        answer = await getattr(AsyncOutbox(), name)(connection, **given)
        and_then(answer)
    return answer


def _in_transaction(
    made: AbstractContextManager[Any], name: str, given: dict[str, Any], and_then: Callable[[object], None]
) -> Any:
    with made as connection:
        answer = getattr(Outbox(), name)(connection, **given)
        and_then(answer)
    return answer


async def _steps(vector: dict[str, Any], client: Client, way: Way, url: str) -> str:
    saved: dict[str, Any] = {}
    for step in vector["steps"]:
        wanted = filled({name: step[name] for name in ("answer", "error") if name in step}, saved)
        try:
            if "look" in step:
                answer = client.message(filled(step["look"], saved))
            else:
                answer = await in_transaction(way, url, step["call"], filled(step["with"], saved))
            found = json.loads(json.dumps({"answer": answer}, default=plain))
        except HeraldError as error:
            found = {"error": shown(error)}
        if not fits(found, wanted):
            return f"{vector['name']}: {step} gave {found}, not {wanted}"
        if "save" in step:
            saved[step["save"]] = found["answer"]
    return ""
