"""Bare aiohttp: coroutines that POST what they have in memory, and note nothing."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from time import monotonic
from typing import Any

from aiohttp import ClientSession, TCPConnector

from benchmarks.machine import watched

OPEN = 1_000  # at most


async def main(count: int, addresses: Sequence[str]) -> dict[str, Any]:
    """POSTs per second."""
    bodies = [os.urandom(460).hex().encode() for _ in range(count)]
    waiting: Iterator[tuple[int, bytes]] = iter(enumerate(bodies))
    async with ClientSession(connector=TCPConnector(limit=OPEN)) as session:

        async def post() -> None:
            for number, body in waiting:
                async with session.post(addresses[number % len(addresses)], data=body) as answer:
                    answer.raise_for_status()
                    await answer.read()

        began = monotonic()
        with watched() as span:
            await asyncio.gather(*(post() for _ in range(OPEN)))
    return {"rate": count / (monotonic() - began), "idle": span.idle, "version": f"aiohttp {version('aiohttp')}"}


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))))
