"""Calls the side's own functions: `python serve.py ADAPTER`, one line of JSON in, one out, until the input ends."""

import json
import sys
from collections.abc import Sequence
from importlib import import_module
from time import perf_counter
from typing import Any, Protocol, cast
from uuid import UUID


class Adapter(Protocol):
    """How a side claims and records: in the transaction of its caller, over a connection as its pipeline has it."""

    def connect(self) -> Any: ...
    def claim(self, connection: Any, ids: Sequence[UUID]) -> int: ...  # notifications, each at its first request
    def record(self, connection: Any, ids: Sequence[UUID]) -> None: ...  # sent, each at its first attempt


def main() -> None:
    adapter = cast("Adapter", import_module(sys.argv[1]))
    connection = adapter.connect()
    for line in sys.stdin:
        asked = json.loads(line)
        seconds = _call(adapter, connection, asked["call"], [UUID(one) for one in asked["ids"]])
        print(json.dumps({"seconds": seconds}), flush=True)


def _call(adapter: Adapter, connection: Any, name: str, ids: Sequence[UUID]) -> float:
    """Seconds without the COMMIT, which is the disk's."""
    began = perf_counter()
    if name == "claim":
        won = adapter.claim(connection, ids)
        assert won == len(ids), f"{won} of {len(ids)} were claimed"
    else:
        adapter.record(connection, ids)
    seconds = perf_counter() - began
    connection.commit()
    return seconds


if __name__ == "__main__":
    main()
