"""How long after a message was sent `?wait` answers: at a steady rate, and where a thousand wait on one process."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from time import time
from typing import Any
from uuid import uuid4

import aiohttp

from benchmarks.figures import Figure, Result, Target, percentile
from benchmarks.flow import Flow, herald
from benchmarks.run import Run

RATE, MANY = 100, 1_000  # requests per second; at once
LATER = 6.0  # seconds until the first of those is due; they are due one after the other, at the same rate
WAIT = 30  # seconds
PROMISED = Target(most=20.0)  # milliseconds


def measure(run: Run) -> list[Result]:
    """Milliseconds, by the clock that this machine's processes share."""
    steady = Figure(f"answered after sent, at {RATE}/s, p99, ms", PROMISED)
    many = Figure(f"the same, where {MANY:,} wait at once on one process, p99, ms", PROMISED)
    with herald(run.stage, run.whole) as flow:
        for _ in range(run.rounds):
            steady.add(_late(flow, [None] * int(run.pick(3, 10) * RATE)))
            many.add(_late(flow, list(_dates())))
    return [steady, many]


def _dates() -> Iterator[datetime]:
    first = datetime.now(UTC) + timedelta(seconds=LATER)
    return (first + timedelta(seconds=number / RATE) for number in range(MANY))


def _late(flow: Flow, dates: Sequence[datetime | None]) -> float:
    answered = asyncio.run(_answered(flow, dates))
    sent = flow.look(answered)
    assert len(sent) == len(dates)
    return percentile([1000 * (answered[one] - at) for one, at in sent.items()], 99)


async def _answered(flow: Flow, dates: Sequence[datetime | None]) -> dict[str, float]:
    """When, by id; what has a date is posted at once, the rest at the rate."""
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def one(number: int, date: datetime | None) -> tuple[str, float]:
            body: dict[str, Any] = {"user_id": str(number), "event": "e", "content": "c"}
            if date:
                body["deliver_at"] = date.isoformat()
            else:
                await asyncio.sleep(number / RATE)
            url, headers = f"http://127.0.0.1:{flow.port}/notifications?wait={WAIT}", {"idempotency-key": uuid4().hex}
            async with session.post(url, json=body, headers=headers) as answer:
                said = await answer.json()
                assert said["status"] == "sent", said
                return said["id"], time()

        return dict(await asyncio.gather(*(one(number, date) for number, date in enumerate(dates))))
