"""What a flood of one key, one destination, one topic or one caller costs everybody else, through the whole system.

Twenty other users are sent single messages all the while: first without the flood, then beside it until it is worked
off, for a minute at most.
"""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from threading import Event
from time import monotonic, time
from typing import Any, NamedTuple

import httpx2

from benchmarks.figures import Figure, Result, Target, percentile
from benchmarks.relay import TOPICS
from benchmarks.run import Run
from benchmarks.stage import Stage
from benchmarks.waiting import answers, until
from tests.proof.end_to_end.destinations import WEBHOOKS
from tests.servers.http_server import HttpServer
from tests.servers.ports import free_port
from tests.servers.postgres import connect_to_tables

MOST = 2_000.0  # milliseconds that others may wait, p99
OTHERS = 20  # users with single messages
RATE = 20  # of them per second
CALLERS = 16
AT_ONCE = 1_000  # messages of one call of the flood
QUIET, LONGEST = 10.0, 60.0  # seconds without a flood, and beside one at most
SETTLE = 120.0  # seconds until every single one must be sent
NEVER = 1e6  # milliseconds
SENT = """
SELECT id::text, extract(epoch FROM sent_at)::float8 FROM messages
WHERE id = ANY (%(ids)s::uuid[]) AND sent_at IS NOT NULL
"""
LEFT = "FROM unfinished AS u JOIN messages AS m ON m.id = u.id WHERE m.key LIKE 'flood%'"
# Of one key each begins after the one before it.
OVERTAKEN = """
SELECT count(*) FROM (
    SELECT o.recorded_at < lag(o.recorded_at) OVER (PARTITION BY m.key ORDER BY m.accepted_at, m.id) AS is_early
    FROM messages AS m JOIN outbox AS o ON o.stream_id = m.id AND o.type = 'message.started' AND m.attempts = 1
    WHERE m.key LIKE 'flood%'
) AS begun WHERE is_early
"""
SEND = "SELECT count(*) FROM herald.send_many(%s::json)"


class Kind(NamedTuple):
    """`message` makes the one with a number of a flood; `other` the single one of a user, for POST /messages."""

    name: str
    message: Callable[[int, str], dict[str, Any]]
    other: Callable[[str, str], dict[str, Any]]
    seconds: float = 0.005  # until the flooded destination answers; 0: never


class Places(NamedTuple):
    """Where webhooks go: those of the flood, and all others."""

    flooded: str
    others: str


def measure(run: Run) -> list[Result]:
    """Milliseconds from POST to sent, of the others."""
    return [
        result for kind in KINDS if not run.kinds or kind.name.startswith(run.kinds) for result in _measured(run, kind)
    ]


def _measured(run: Run, kind: Kind) -> Iterator[Result]:
    size = run.flood or int(run.pick(5_000, 100_000))
    name = f"{size:,} of one {kind.name}, others' POST → sent"
    quiet = {share: Figure(f"{name}, p{share} without it, ms") for share in (50, 99)}
    beside = {
        share: Figure(f"{name}, p{share}, ms", Target(most=MOST) if share == 99 else Target())  # noqa: PLR2004
        for share in (50, 99, 100)
    }
    left = Figure(f"{name}: left of the flood then")
    for _ in range(run.rounds):
        before, during, rest = _run(run.stage, kind, size)
        for delays, figures in ((before, quiet), (during, beside)):
            for share, figure in figures.items():
                figure.add(percentile(delays, share))
        left.add(rest)
    yield from (*quiet.values(), *beside.values(), left)


def _run(stage: Stage, kind: Kind, size: int) -> tuple[list[float], list[float], int]:
    stage.make_topics(*TOPICS)
    database = stage.database()
    settings = stage.settings(database, **WEBHOOKS)
    with (
        _receivers(stage, kind) as (flooded, others),
        stage.api(settings) as port,
        stage.herald("relay", settings),
        stage.herald("pipeline", settings),
    ):
        singles = Singles(stage, database, port, lambda user: kind.other(user, others))
        singles.settle(singles.post(lambda: False, least=2.0))  # the group is joined, everything is warm
        before = singles.settle(singles.post(lambda: False, least=QUIET))
        with ThreadPoolExecutor(1) as threads:
            flood = threads.submit(_flood, stage, database, [kind.message(number, flooded) for number in range(size)])
            sent = singles.post(lambda: not flood.done() or _is_left(stage, database), least=QUIET)
            [(rest,)] = stage.fetch(database, f"SELECT count(*) {LEFT}")
            flood.result()
        during = singles.settle(sent)
        assert stage.fetch(database, OVERTAKEN) == [(0,)]
    stage.drop(database)
    return before, during, int(rest)


def _flood(stage: Stage, database: str, messages: list[dict[str, Any]]) -> None:
    """As fast as one connection takes them, a thousand in each transaction."""
    with closing(connect_to_tables(stage.server.url(database))) as connection, connection.cursor() as cursor:
        for start in range(0, len(messages), AT_ONCE):
            cursor.execute(SEND, [json.dumps(messages[start : start + AT_ONCE])])
            connection.commit()


def _is_left(stage: Stage, database: str) -> bool:
    [(is_left,)] = stage.fetch(database, f"SELECT EXISTS (SELECT {LEFT})")
    return bool(is_left)


class Singles(NamedTuple):
    """Posts single messages of other users, one after the other, each at its time."""

    stage: Stage
    database: str
    port: int
    message: Callable[[str], dict[str, Any]]

    def post(self, goes_on: Callable[[], bool], *, least: float) -> dict[str, float]:
        """For `least` seconds, then while it goes on; when each was posted, in seconds since 1970, by its id."""
        began, pause = monotonic(), Event()
        with httpx2.Client(timeout=60.0) as client, ThreadPoolExecutor(CALLERS) as callers:

            def call(number: int) -> tuple[str, float]:
                at = time()
                answer = client.post(
                    f"http://127.0.0.1:{self.port}/messages", json=self.message(f"other-{number % OTHERS}")
                )
                return answer.raise_for_status().json()["id"], at

            calls: list[Future[tuple[str, float]]] = []
            looked_at = began
            while (passed := monotonic() - began) < LONGEST:
                if passed > least and monotonic() - looked_at > 1.0:
                    if not goes_on():
                        break
                    looked_at = monotonic()
                calls.append(callers.submit(call, len(calls)))
                pause.wait(max(0.0, began + len(calls) / RATE - monotonic()))
            return dict(one.result() for one in calls)

    def settle(self, posted: dict[str, float]) -> list[float]:
        """Milliseconds until each was sent; what is not sent within two minutes took for ever."""
        sent: dict[str, float] = {}
        deadline = monotonic() + SETTLE
        while len(sent) < len(posted) and monotonic() < deadline:
            Event().wait(0.5)
            sent = dict(self.stage.fetch(self.database, SENT, {"ids": list(posted)}))
        return [(sent[one] - at) * 1000 if one in sent else NEVER for one, at in posted.items()]


@contextmanager
def _receivers(stage: Stage, kind: Kind) -> Iterator[Places]:
    """One for the flood, which may be slow or silent, and one for all others."""
    quick, slow = free_port(), free_port()
    receiver, settings = "benchmarks.rivals.receiver", {"PYTHONPATH": str(stage.side.root)}
    with stage.module(receiver, settings, str(quick), "0.005") as process, HttpServer() as silent:
        until(lambda: answers(quick), process, 30.0, what="the receiver answers")
        others = f"http://127.0.2.1:{quick}/"
        if not kind.seconds:
            yield Places(silent.url("/hang"), others)
            return
        with stage.module(receiver, settings, str(slow), str(kind.seconds)) as flooded:
            until(lambda: answers(slow), flooded, 30.0, what="the flooded receiver answers")
            yield Places(f"http://127.0.1.1:{slow}/", others)


def _plain(user: str, _place: str) -> dict[str, Any]:
    return _message("notifications", user, {"user_id": user, "event": "greeting", "content": "hello"})


def _webhook(user: str, place: str) -> dict[str, Any]:
    data = {"user_id": user, "event": "greeting", "content": "hello", "channel": "webhook", "address": place}
    return _message("notifications", user, data)


def _message(topic: str, key: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"topic": topic, "data": data, **({} if topic == "notifications" else {"key": key})}


def _to_host(number: int, place: str) -> dict[str, Any]:
    return _webhook(f"flood-{number}", place)


KINDS = (
    Kind("key", lambda _, place: _plain("flood", place), _plain),
    Kind("topic", lambda number, _: _message("generic_topic", f"flood-{number}", {"number": number}), _plain),
    Kind("caller", lambda number, place: _plain(f"flood-{number}", place), _plain),
    Kind("destination that answers after 5 ms", _to_host, _webhook),
    Kind("destination that answers after 1 s", _to_host, _webhook, seconds=1.0),
    Kind("destination that never answers", _to_host, _webhook, seconds=0.0),
)
