"""The bare chain: the hops of a notification with nothing of Herald, against which Herald's latencies are held.

POST → (what is at hand) INSERT, COMMIT → 202 with an id, produce → consume → (what is at hand) UPDATE sent_at, COMMIT.
Two processes: an API (uvicorn, one writer thread) and a consumer. It is not safe: a crash between COMMIT and produce
loses the message. Its behaviour is given and not to be changed: it does not linger and does not poll at intervals, and
its statements are prepared. Any load that can POST {"user_id", "event", "content"} and reads "id" from the answer
drives it as it drives Herald; the rows stand in `bare_chain`.
"""

import asyncio
import json
import os
import queue
from collections.abc import Awaitable, Callable
from contextlib import suppress
from threading import Thread
from typing import Any, NamedTuple
from uuid import uuid4

import click
import uvicorn
from confluent_kafka import Consumer, Message, Producer

from herald.outbox.postgres.driver import Connection, Cursor, connect_plainly

PARTITIONS = 4
MOST_WRITTEN, MOST_SENT = 500, 250  # messages of one transaction
TABLE = """
CREATE TABLE IF NOT EXISTS bare_chain (id uuid PRIMARY KEY, key text NOT NULL, data jsonb NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT clock_timestamp(), sent_at timestamptz)
"""
INSERT = """
PREPARE w(text) AS INSERT INTO bare_chain (id, key, data)
SELECT id, key, data FROM jsonb_to_recordset($1::jsonb) AS r(id uuid, key text, data jsonb)
"""
UPDATE = "PREPARE s(text) AS UPDATE bare_chain SET sent_at = clock_timestamp() WHERE id = ANY ($1::uuid[])"
PLAN = "SET plan_cache_mode = force_generic_plan; SET enable_seqscan = off"
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


class Waiting(NamedTuple):
    """A request until its COMMIT."""

    id: str
    key: str
    data: dict[str, str]
    loop: asyncio.AbstractEventLoop
    done: "asyncio.Future[None]"


class Writer:
    """Writes whatever is at hand in one transaction, produces it and answers; its thread never ends."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._connection, self._cursor = _connect(INSERT)
        self._waiting: queue.SimpleQueue[Waiting] = queue.SimpleQueue()
        servers = os.environ["KAFKA_BOOTSTRAP_SERVERS"]
        self._producer = Producer(
            {"bootstrap.servers": servers, "linger.ms": 0, "acks": "all", "enable.idempotence": True}
        )
        Thread(target=self._run, daemon=True).start()

    async def write(self, data: dict[str, str]) -> str:
        """The new id, once it is committed."""
        loop = asyncio.get_running_loop()
        one = Waiting(str(uuid4()), data["user_id"], data, loop, loop.create_future())
        self._waiting.put(one)
        await one.done
        return one.id

    def _run(self) -> None:
        while True:
            batch = self._take()
            rows = json.dumps([{"id": one.id, "key": one.key, "data": one.data} for one in batch])
            self._cursor.execute("EXECUTE w(%s)", (rows,))
            self._connection.commit()
            for one in batch:
                headers: dict[str, str | bytes] = {"id": one.id.encode()}
                self._producer.produce(self._topic, json.dumps(one.data), one.key, headers=headers)
            self._producer.poll(0)
            batch[0].loop.call_soon_threadsafe(_answer, [one.done for one in batch])

    def _take(self) -> list[Waiting]:
        batch = [self._waiting.get()]
        with suppress(queue.Empty):
            while len(batch) < MOST_WRITTEN:
                batch.append(self._waiting.get_nowait())
        return batch


def make_app(writer: Writer) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Whatever the path is, the body is written."""

    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        body, goes_on = b"", True
        while goes_on:
            part = await receive()
            body += part.get("body", b"")
            goes_on = bool(part.get("more_body"))
        answer = json.dumps({"id": await writer.write(json.loads(body)), "status": "pending"}).encode()
        headers = [(b"content-type", b"application/json"), (b"content-length", str(len(answer)).encode())]
        await send({"type": "http.response.start", "status": 202, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    return app


def _answer(waiting: list["asyncio.Future[None]"]) -> None:
    for done in waiting:
        if not done.done():
            done.set_result(None)


def _connect(statement: str) -> tuple[Connection, Cursor]:
    connection = connect_plainly(os.environ["DATABASE_URL"])
    cursor = connection.cursor()
    cursor.execute(PLAN)
    cursor.execute(statement)
    connection.commit()
    return connection, cursor


def _id_of(record: Message) -> str:
    return str(dict(record.headers() or [])["id"], "ascii")


@click.group()
def main() -> None:
    """The two processes of the chain, which read DATABASE_URL and KAFKA_BOOTSTRAP_SERVERS."""


@main.command()
@click.option("--topic", required=True)
@click.option("--port", type=int, required=True)
def api(topic: str, port: int) -> None:
    """Answer at that port of this machine."""
    app = make_app(Writer(topic))
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="error", lifespan="off", timeout_keep_alive=120)


@main.command()
@click.option("--topic", required=True)
def consumer(topic: str) -> None:
    """Note of whatever comes that it is sent."""
    connection, cursor = _connect(UPDATE)
    reader = Consumer(
        {
            "bootstrap.servers": os.environ["KAFKA_BOOTSTRAP_SERVERS"],
            "group.id": f"{topic}-group",
            "auto.offset.reset": "earliest",
            "auto.commit.interval.ms": 5000,
            "fetch.wait.max.ms": 500,
        }
    )
    reader.subscribe([topic])
    while True:
        first = reader.poll(1.0)
        if first is None or first.error():
            continue
        batch = [first, *(one for one in reader.consume(MOST_SENT - 1, timeout=0) if not one.error())]
        cursor.execute("EXECUTE s(%s)", (f"{{{','.join(map(_id_of, batch))}}}",))
        connection.commit()


if __name__ == "__main__":
    main()
