"""Receivers of webhooks, at many addresses: /<milliseconds> answers after so long, /silent never.

They are what is called, not what is measured: one asyncio protocol, as little as answers a POST.
"""

import asyncio
import re

import click

HEAD = re.compile(rb"POST /(\w+) .*?content-length: (\d+)\r\n.*?\r\n\r\n", re.DOTALL | re.IGNORECASE)
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
BACKLOG = 4096


class Receiver(asyncio.Protocol):
    def __init__(self) -> None:
        self.found = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.found += data
        while (head := HEAD.match(self.found)) and len(self.found) >= head.end() + int(head[2]):
            self.found = self.found[head.end() + int(head[2]) :]
            if head[1] != b"silent":
                asyncio.get_running_loop().call_later(int(head[1]) / 1000, self._answer)

    def _answer(self) -> None:
        if not self.transport.is_closing():
            self.transport.write(ANSWER)


def address(number: int) -> str:
    """Of the receiver of that number, from 0 on."""
    return f"127.1.{number // 250}.{number % 250 + 1}"


@click.command()
@click.option("--port", type=int, required=True)
@click.option("--hosts", type=int, required=True)
def main(port: int, hosts: int) -> None:
    """Run until killed; says so when all listen."""
    asyncio.run(_serve(port, hosts))


async def _serve(port: int, hosts: int) -> None:
    loop = asyncio.get_running_loop()
    for number in range(hosts):
        await loop.create_server(Receiver, address(number), port, backlog=BACKLOG)
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    main()
