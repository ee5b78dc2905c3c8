"""clients/vectors.json: what is put in for a run, and whether what came is what is expected."""

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

from tests.clients.stub import Received
from tests.conftest import ROOT

VECTORS = ROOT / "clients" / "vectors.json"
_SAVED = re.compile(r"\$(\w+(?:\.\w+)*)")


def make_vectors(**known: str) -> dict[str, Any]:
    """With an own `$run`, so that runs do not meet, a date `$tomorrow`, and what is `known`."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
    text = VECTORS.read_text(encoding="utf-8")
    for name, value in {"run": uuid4().hex, "tomorrow": tomorrow, **known}.items():
        text = text.replace(f"${name}", value)
    found: dict[str, Any] = json.loads(text)
    return found


def filled(given: Any, saved: Mapping[str, Any]) -> Any:
    """With what earlier steps saved in the place of `$name.path`."""
    match given:
        case dict():
            return {name: filled(value, saved) for name, value in given.items()}
        case list():
            return [filled(value, saved) for value in given]
        case str():
            return _SAVED.sub(lambda found: str(_at(found[1].split("."), saved)), given)
    return given


def _at(path: list[str], saved: Any) -> Any:
    for name in path:
        saved = saved[int(name)] if isinstance(saved, list) else saved[name]
    return saved


def fits(found: Any, wanted: Any) -> bool:
    """An object may have more than is wanted, a list may not; `*` is anything but null."""
    match wanted:
        case "*":
            return found is not None
        case dict():
            return isinstance(found, dict) and all(fits(found.get(name), value) for name, value in wanted.items())
        case list():
            return len(found) == len(wanted) and all(map(fits, found, wanted))
    return bool(found == wanted)


def assert_received(vector: dict[str, Any], received: list[Received]) -> None:
    """As often, and with as much time between them, as the vector says; each repetition is the same request."""
    wanted = vector.get("received", {"requests": 0})
    name, took = vector["name"], received[-1].at - received[0].at if received else 0.0
    assert len(received) == wanted["requests"], name
    assert took >= wanted.get("at_least", 0.0), name
    posts = [one for one in received if one.method == "POST"]
    assert len({(one.path, one.key, one.body) for one in posts}) <= 1, name
    assert all(one.key for one in posts), name
    shown = f"Bearer {vector['key']}" if "key" in vector else None
    assert {one.authorization for one in received} <= {shown}, name
