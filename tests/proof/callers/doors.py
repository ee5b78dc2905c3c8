"""The same inputs through HTTP and through SQL: what HTTP accepts SQL accepts, and both store the same.

What only SQL accepts is left to a pipeline: it has to end dead, with the words that HTTP answered.
"""

import json
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

from herald.outbox.moves.cancel import cancel
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import fetch, fetch_column
from tests.outbox.acceptance.sql.callers import status_of
from tests.outbox.connections import connected
from tests.proof.callers.inputs import Call, Input, Inputs
from tests.proof.end_to_end.destinations import WEBHOOKS
from tests.proof.faults.fleet import Fleet
from tests.proof.fuzz.conformance import SET_UP
from tests.proof.fuzz.values import Draw
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.ports import accepts, free_port
from tests.servers.postgres import connect_to_tables

AT_ONCE = 4
ACCEPTED, UNDELIVERABLE = 202, ("address", "channel", "subject", "event")
SETTINGS = {**SET_UP, **WEBHOOKS}
TIMEOUT, STARTED, ENDED = 30.0, 90.0, 300.0  # seconds
TOO_LARGE = "refused_by_kafka"  # the longest contents, however wrong their address is
# Without what depends on the door: who sent it, the id of its group, and how the dates of a notification are spelled.
_STORED = """
SELECT m.topic, m.key, m.status, m.priority, m.due_at, m.deliver_by, m.event, m.traceparent,
    CASE m.topic WHEN 'notifications' THEN (o.data::jsonb - ARRAY['deliver_at', 'deliver_by'])::text
    ELSE o.data::text END,
    o.payload - ARRAY['actor', 'group_id']
FROM messages AS m JOIN outbox AS o ON o.stream_id = m.id WHERE m.id = ANY (%s::uuid[]) ORDER BY m.id
"""
_ENDS = "SELECT id::text, status, coalesce(reason, ''), reason_code FROM messages WHERE id = ANY (%s::uuid[])"
_LEFT = """
SELECT status || ' ' || coalesce(reason, ''), count(*) FROM messages
WHERE id = ANY (%s::uuid[]) AND status NOT IN ('dead', 'sent', 'expired', 'cancelled') GROUP BY 1
"""
_NOT_SET_UP = """
SELECT id FROM messages WHERE id = ANY (%s::uuid[]) AND status = 'scheduled' AND reason_code = 'not_set_up'
"""
_BY_GROUP = "SELECT id::text FROM messages WHERE id = %s OR group_id = %s ORDER BY id"


@dataclass(frozen=True)
class Answer:
    """A status, what was said, and of what was accepted what is stored. `each` is what HTTP answered to each call."""

    status: int
    field: str = ""
    said: str = ""
    stored: Sequence[Any] = ()
    ids: tuple[str, ...] = ()
    each: "tuple[Answer, ...]" = ()


@dataclass
class Compared:
    """How many inputs of each form came to what; `undeliverable` are ids, with what HTTP answered."""

    seed: int
    found: Counter[tuple[str, str]] = field(default_factory=Counter)
    undeliverable: dict[str, Answer] = field(default_factory=dict)
    dead: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def take(self, given: Input, http: Answer, sql: Answer) -> None:
        what = self._judged(http, sql)
        self.found[given.form, what] += 1
        if what.startswith("WRONG"):
            sides = (f"{one.status} {one.field} {one.said[:200]} {str(one.stored)[:400]}" for one in (http, sql))
            self.wrong.append(f"{what}: {' | '.join(sides)} | {given.shown()}")

    def _judged(self, http: Answer, sql: Answer) -> str:
        if http.status == sql.status == ACCEPTED:
            return "accepted by both" if http.stored == sql.stored else "WRONG, stored differently"
        if sql.status == ACCEPTED:
            answers = http.each if len(http.each) > 1 else http.each * len(sql.ids)
            refused = {one: said for one, said in zip(sql.ids, answers, strict=True) if said.status != ACCEPTED}
            if not all(map(_is_undeliverable, refused.values())):
                return "WRONG, only SQL accepts"
            self.undeliverable |= refused
            return "accepted by SQL alone"
        return "WRONG, only HTTP accepts" if http.status == ACCEPTED else "refused by both"


def _is_undeliverable(said: Answer) -> bool:
    """What HTTP does not take is for a delivery to refuse; Kafka refuses what is too large."""
    return said.field.rpartition(".")[2] in UNDELIVERABLE or said.status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE


class Doors:
    """One thread's connections to both. What SQL accepts is committed only where HTTP does not."""

    def __init__(self, port: int, http_database: str, sql_database: str) -> None:
        self._port = port
        self._http = HTTPConnection("127.0.0.1", port, timeout=TIMEOUT)
        self._behind = connect_to_tables(http_database)
        self._sql = connect_to_tables(sql_database)

    def close(self) -> None:
        for one in (self._http, self._behind, self._sql):
            one.close()

    def try_both(self, given: Input) -> tuple[Input, Answer, Answer]:
        http = self._over_http(given)
        return given, http, self._by_sql(given, keeps=http.status != ACCEPTED)

    def _over_http(self, given: Input) -> Answer:
        """The first refusal, or all that was stored."""
        each = tuple(self._posted(call) for call in given.calls)
        for answer in each:
            if answer.status != ACCEPTED:
                return replace(answer, each=each)
        ids = [one for answer in each for one in answer.ids]
        self._behind.rollback()
        return Answer(ACCEPTED, stored=fetch(self._behind, _STORED, ids))

    def _posted(self, call: Call) -> Answer:
        headers = {"content-type": "application/json", **call.headers}
        self._http.request("POST", call.path, call.body.encode(), headers)
        answer = self._http.getresponse()
        said = json.loads(answer.read())
        if answer.status == ACCEPTED:
            return Answer(ACCEPTED, ids=tuple(one["id"] for one in said.get("items", [said])))
        first = (said["errors"] or [{"field": "", "detail": said["detail"]}])[0]
        return Answer(answer.status, first["field"], first["detail"])

    def _by_sql(self, given: Input, *, keeps: bool) -> Answer:
        try:
            ids = [str(one) for one in fetch_column(self._sql, given.statement, *given.values)]
        except PostgresError as error:
            self._sql.rollback()
            return Answer(status_of(error), str(error.diag.column_name), str(error.diag.message_primary))
        except ValueError as error:  # the driver sends no NUL
            self._sql.rollback()
            return Answer(400, said=str(error))
        ids = [one for given_id in ids for one in fetch_column(self._sql, _BY_GROUP, given_id, given_id)]
        stored = fetch(self._sql, _STORED, ids)
        (self._sql.commit if keeps else self._sql.rollback)()
        return Answer(ACCEPTED, stored=stored, ids=tuple(ids))


@contextmanager
def serving(database: str, folder: Path) -> Iterator[int]:
    """An API; its port."""
    port = free_port()
    settings = {**SETTINGS, "DATABASE_URL": database, "HERALD_PORT": str(port)}
    api = HeraldProcess("api", folder=folder, settings=settings)
    api.start()
    try:
        eventually(lambda: accepts(port), STARTED, what="the API listens")
        yield port
        assert '"request_failed"' not in api.output(), api.tail()
    finally:
        api.kill()


def compare(http_database: str, sql_database: str, folder: Path, *, inputs: int, seed: int) -> Compared:
    """Two databases, so that nothing of what HTTP accepts is delivered."""
    compared, made = Compared(seed), Inputs(Draw(seed), near())
    with serving(http_database, folder) as port, ThreadPoolExecutor(AT_ONCE) as pool:
        shares = [[made.next() for _ in range(inputs // AT_ONCE)] for _ in range(AT_ONCE)]
        work = [pool.submit(_try_all, (port, http_database, sql_database), share, compared) for share in shares]
        for one in work:
            one.result()
    return compared


def _try_all(places: tuple[int, str, str], share: Sequence[Input], compared: Compared) -> None:
    with closing(Doors(*places)) as doors:
        for given in share:
            compared.take(*doors.try_both(given))


def near() -> dict[str, str]:
    """Dates beside the present and beside the furthest that may be, never within an hour of either."""
    now, days = datetime.now(UTC), (-1, 1, 2, 365, 367, 400)
    return {f"{day} days": json.dumps((now + timedelta(days=day)).isoformat()) for day in days}


def deliver(compared: Compared, sql_database: str, kafka: str, folder: Path) -> None:
    """What only SQL accepted: each has to end dead, with the words of HTTP.

    What names a destination that is not set up says so and waits until it is, or as here, until somebody cancels it.
    """
    ids = list(compared.undeliverable)
    with (
        Fleet(folder, sql_database, kafka, of_each=1, settings=SETTINGS).running() as fleet,
        connected(sql_database) as look,
    ):
        eventually(lambda: fleet.revive() and not _unfinished(look, compared), ENDED, what="all has ended")
        for one, status, reason, code in fetch(look, _ENDS, ids):
            if status == "cancelled":
                continue
            said = compared.undeliverable[one].said
            compared.dead[f"{status}, {code}"] += 1
            if status != "dead" or (said not in reason and code != TOO_LARGE):
                compared.wrong.append(f"{one} is {status} ({code}: {reason}), HTTP said {said}")


def _unfinished(connection: Connection, compared: Compared) -> bool:
    ids = list(compared.undeliverable)
    connection.rollback()
    for one in fetch_column(connection, _NOT_SET_UP, ids):
        compared.dead["waits, not_set_up"] += 1
        cancel(connection, one)
        connection.commit()
    left: dict[str, int] = dict(fetch(connection, _LEFT, ids))
    assert not left, left
    return False
