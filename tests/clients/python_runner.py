"""The vectors, run by the client in Python."""

import asyncio
import dataclasses
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from time import monotonic
from typing import Any
from uuid import UUID

import httpx2
from herald_client import AsyncClient, Client, HeraldError, Patience, ProblemError

from tests.clients.conftest import Run
from tests.clients.vectors import filled, fits

Call = Callable[[str, dict[str, Any]], Awaitable[Any]]


async def run_all(run: Run, kind: type[Client] | type[AsyncClient]) -> list[str]:
    """All at once; returns what failed."""
    async with httpx2.AsyncClient() as http:  # one for all: each would read the certificate authorities anew
        with httpx2.Client() as waiting:
            given = http if issubclass(kind, AsyncClient) else waiting
            vectors = enumerate(run.vectors["http"])
            urls = [(f"{run.stub_url}/{at}" if "stub" in one else run.herald_url, one) for at, one in vectors]
            failed = await asyncio.gather(*(_steps(one, _calls(kind, url, one, given)) for url, one in urls))
    return [text for text in failed if text]


def _calls(kind: type[Client] | type[AsyncClient], url: str, vector: dict[str, Any], http: Any) -> Call:
    client = kind(url, key=vector.get("key"), patience=Patience(**vector.get("patience", {})), http=http)
    if isinstance(client, AsyncClient):
        return lambda name, given: getattr(client, name)(**given)
    return lambda name, given: asyncio.to_thread(getattr(client, name), **given)


async def _steps(vector: dict[str, Any], call: Call) -> str:
    saved: dict[str, Any] = {}
    for step in vector["steps"]:
        began = monotonic()
        found = await _outcome(call, step["call"], filled(step["with"], saved))
        took = monotonic() - began
        wanted = filled({name: step[name] for name in ("answer", "error") if name in step}, saved)
        if not fits(found, wanted):
            return f"{vector['name']}: {step['call']} gave {found}, not {wanted}"
        if not step.get("at_least", 0.0) <= took <= step.get("at_most", 60.0):
            return f"{vector['name']}: {step['call']} took {took:.2f} s"
        if "save" in step:
            saved[step["save"]] = found["answer"]
    return ""


async def _outcome(call: Call, name: str, given: dict[str, Any]) -> dict[str, Any]:
    try:
        answer = await call(name, given)
    except HeraldError as error:
        return {"error": shown(error)}
    found: dict[str, Any] = json.loads(json.dumps({"answer": answer}, default=plain))
    return found


def shown(error: HeraldError) -> dict[str, Any]:
    found = {"code": error.code, "idempotency_key": error.idempotency_key}
    if not isinstance(error, ProblemError):
        return found
    fields = [one.field for one in error.errors]
    return {**found, "status": error.status, "title": error.title, "detail": error.detail, "fields": fields}


def plain(value: Any) -> Any:
    match value:
        case UUID():
            return str(value)
        case datetime():
            return value.isoformat().replace("+00:00", "Z")
    return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
