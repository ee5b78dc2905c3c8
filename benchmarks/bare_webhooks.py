"""The rival of webhooks: one session of aiohttp posts as many bodies to the same receivers, and does nothing else."""

import asyncio
import json
from time import monotonic

import aiohttp
import click

from benchmarks.letters import letters
from benchmarks.receiver import address

EACH = 10  # calls at once to one host, as Herald's default


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--hosts", type=int, required=True)
@click.option("--count", type=int, required=True)
def main(port: int, hosts: int, count: int) -> None:
    """Print the rate as JSON."""
    bodies = [body for _, body in letters(count)]
    print(json.dumps({"rate": asyncio.run(_post(port, hosts, bodies))}))


async def _post(port: int, hosts: int, bodies: list[bytes]) -> float:
    left = list(enumerate(bodies))
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def call() -> None:
            while left:
                number, body = left.pop()
                url = f"http://{address(number % hosts)}:{port}/5"
                async with session.post(url, data=body) as answer:
                    answer.raise_for_status()
                    await answer.read()

        began = monotonic()
        await asyncio.gather(*(call() for _ in range(hosts * EACH)))
        return len(bodies) / (monotonic() - began)


if __name__ == "__main__":
    main()
