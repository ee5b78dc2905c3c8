"""Answers every POST after so many seconds, at one port of all addresses of this machine: `receiver PORT SECONDS`."""

import asyncio
import sys

from aiohttp import web


def make_app(seconds: float) -> web.Application:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        await asyncio.sleep(seconds)
        return web.Response()

    app = web.Application()
    app.router.add_post("/", answer)
    return app


if __name__ == "__main__":
    web.run_app(make_app(float(sys.argv[2])), port=int(sys.argv[1]), print=None, access_log=None)
