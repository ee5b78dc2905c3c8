"""faststream-outbox: a table is the queue, its subscriber handles what stands there and deletes it."""

import asyncio
import json
import os
import sys
from importlib.metadata import version
from time import monotonic
from typing import Any

from faststream_outbox import OutboxBroker, make_outbox_table
from sqlalchemy import MetaData
from sqlalchemy.ext.asyncio import create_async_engine

from benchmarks.machine import watched

BATCH = 500
TUNED = {
    "max_workers": 64,
    "fetch_batch_size": 500,
    "min_fetch_interval": 0.01,
    "terminal_flush_batch_size": 100,
}


async def main(count: int, settings: dict[str, Any]) -> dict[str, Any]:
    """Messages per second from the first one handled to the last."""
    url = os.environ["DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(url, pool_size=10, max_overflow=90)
    metadata = MetaData()
    broker = OutboxBroker(engine, outbox_table=make_outbox_table(metadata, table_name="rival_outbox"), log_level=50)
    handled: list[float] = []
    done = asyncio.Event()

    async def handle(_body: dict[str, str]) -> None:
        handled.append(monotonic())
        if len(handled) == count:
            done.set()

    broker.subscriber("rival", **settings)(handle)
    async with engine.begin() as connection:
        await connection.run_sync(metadata.create_all)
    for _ in range(count // BATCH):
        async with engine.begin() as connection:
            await broker.publish_batch(*(_body() for _ in range(BATCH)), queue="rival", session=connection)
    with watched() as span:
        await broker.start()
        await done.wait()
    await broker.stop()
    rate = (count - 1) / (handled[-1] - handled[0])
    return {"rate": rate, "idle": span.idle, "version": version("faststream-outbox")}


def _body() -> dict[str, str]:
    return {"user_id": "42", "event": "rival", "content": os.urandom(460).hex()}


if __name__ == "__main__":
    chosen = TUNED if "--tuned" in sys.argv else {}
    print(json.dumps(asyncio.run(main(int(sys.argv[1]), chosen))))
