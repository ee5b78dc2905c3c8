"""PgQueuer with aiohttp: jobs in a table; each is a POST, or nothing where there are no addresses."""

import asyncio
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version
from time import monotonic
from typing import Any

import asyncpg
from aiohttp import ClientSession, TCPConnector
from pgqueuer import PgQueuer
from pgqueuer.models import Job
from pgqueuer.queries import Queries
from pgqueuer.types import QueueExecutionMode

from benchmarks.machine import watched

ENQUEUED = 1_000  # jobs of one statement
BATCH = 250  # jobs taken at once
OPEN = 1_000  # at most


async def main(count: int, addresses: Sequence[str]) -> dict[str, Any]:
    """Jobs per second from the first one taken to the last one done."""
    pool = await asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=4)
    queue = PgQueuer.from_asyncpg_pool(pool)
    queries = Queries.from_asyncpg_pool(pool)
    await queries.install()
    for _ in range(count // ENQUEUED):
        await queries.enqueue(["post"] * ENQUEUED, [_body() for _ in range(ENQUEUED)], [0] * ENQUEUED)
    begun, ended = [], []
    async with ClientSession(connector=TCPConnector(limit=OPEN)) as session:

        async def post(job: Job) -> None:
            begun.append(monotonic())
            if addresses:
                async with session.post(addresses[len(begun) % len(addresses)], data=job.payload) as answer:
                    answer.raise_for_status()
                    await answer.read()
            ended.append(monotonic())

        queue.entrypoint("post")(post)
        with watched() as span:
            await queue.qm.run(batch_size=BATCH, mode=QueueExecutionMode.drain, max_concurrent_tasks=OPEN)
    assert len(ended) == count, f"{len(ended)} of {count} jobs were done"
    rate = count / (ended[-1] - begun[0])
    return {"rate": rate, "idle": span.idle, "version": f"{version('pgqueuer')}, aiohttp {version('aiohttp')}"}


def _body() -> bytes:
    return json.dumps({"user_id": "42", "event": "rival", "content": os.urandom(460).hex()}).encode()


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(int(sys.argv[1]), sys.argv[2:]))))
