"""Two Heralds on one Kafka, and copies beside their originals: who is refused, and who delivers what.

First both with all defaults: the second is refused. Then each with a prefix, and another producer beside them. At last
three copies of a database in which everything is pending, each with all processes beside the running original.
"""

import json
import subprocess
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka import Producer

from herald.outbox.moves.accept import make_acceptance
from herald.outbox.postgres.statements import fetch
from tests.conftest import migrate
from tests.outbox.connections import accepted
from tests.proof.faults.fleet import NEEDED, ROLES, STARTED
from tests.proof.faults.poolers import last_words
from tests.proof.faults.provider import Provider
from tests.proof.faults.report import machine, paragraphs
from tests.servers.apache_kafka import ApacheKafka
from tests.servers.eventually import eventually
from tests.servers.herald import HeraldProcess
from tests.servers.ports import free_port
from tests.servers.postgres import DURABLE, PostgresServer, connect_to_tables, standby_of

PREFIXES = ("one.", "two.")
PENDING = 20  # messages in the database that is copied
BATCH = 500  # messages accepted at once
OVER = 60.0  # seconds until all is sent, beside those that the slowest machine takes
SLOWEST = 20.0  # messages per second
FLUSHED = 60.0  # seconds for the records of the other producer
_NOT_SENT = "SELECT count(*) FROM messages WHERE status <> 'sent'"
_EVENTS = "SELECT count(*) FROM outbox WHERE type = %s"


@dataclass
class Delivered:
    """What one Herald was given, and what came of it; `calls` by number of the message."""

    prefix: str
    own: int
    foreign: int
    calls: Counter[int] = field(default_factory=Counter)
    requested_again: int = 0

    @property
    def is_right(self) -> bool:
        """Each once, nothing else, and nothing requested twice."""
        once = dict.fromkeys(range(self.own + self.foreign), 1)
        return dict(self.calls) == once and not self.requested_again


@dataclass
class Copy:
    """A copy, what each of its processes said at its end, and how many calls it began."""

    name: str
    said: dict[str, str]
    calls: int


@dataclass
class Found:
    refused: dict[str, str]  # what the second Herald's processes said
    delivered: list[Delivered]
    copies: list[Copy]
    twice: int  # calls of the original's provider beyond one per message

    def assert_right(self) -> None:
        assert set(self.refused) == {"relay", "pipeline"}, self.refused
        assert all("HERALD_TOPIC_PREFIX" in words for words in self.refused.values()), self.refused
        assert all(one.is_right for one in self.delivered), [one.requested_again for one in self.delivered]
        assert all(not one.calls and set(one.said) == set(ROLES) for one in self.copies), self.copies
        assert not self.twice


class Stage:
    """A PostgreSQL and a Kafka for all of them."""

    def __init__(self, server: PostgresServer, kafka: ApacheKafka, folder: Path) -> None:
        self.server, self.kafka, self.folder = server, kafka, folder

    def database(self, name: str) -> str:
        self.server.execute(f"CREATE DATABASE {name}")
        migrate(self.server.url(name))
        return self.server.url(name)

    def start(self, role: str, database: str, **settings: str) -> HeraldProcess:
        """With a group by its instance, as where none is set."""
        servers = {"DATABASE_URL": database, "KAFKA_BOOTSTRAP_SERVERS": self.kafka.bootstrap_servers}
        said = {**NEEDED, **servers, "HERALD_GROUP": "", "HERALD_PORT": str(free_port()), **settings}
        process = HeraldProcess(role, folder=self.folder, settings=said)
        process.start()
        return process

    @contextmanager
    def running(self, roles: Iterable[str], database: str, **settings: str) -> Iterator[None]:
        """Killed at the end."""
        started = [self.start(role, database, **settings) for role in roles]
        try:
            for process in started:
                if process.role != "api":
                    process.wait_for("leading" if process.role == "relay" else "pipeline_started", STARTED)
            yield
        finally:
            for process in started:
                process.kill()

    def refusals(self, roles: Iterable[str], database: str) -> dict[str, str]:
        """The last words of each; one that works on is killed and missing."""
        said: dict[str, str] = {}
        for process in [self.start(role, database) for role in roles]:
            try:
                eventually(lambda process=process: not process.running, STARTED, what=f"{process.role} has refused")  # type: ignore[misc]
                said[process.role] = last_words(process)
            finally:
                process.kill()
        return said


@contextmanager
def staged() -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="herald-two-", ignore_cleanup_errors=True) as name:
        (Path(name) / "kafka").mkdir()
        with PostgresServer(DURABLE) as server, ApacheKafka(Path(name) / "kafka") as kafka:
            yield Stage(server, kafka, Path(name))


def put_together(stage: Stage, *, messages: int, foreign: int) -> Found:
    """All of it, one after the other."""
    refused = refuse_second(stage)
    stage.kafka.wipe()
    delivered = deliver_side_by_side(stage, messages, foreign)
    stage.kafka.wipe()
    copies, twice = copy_beside(stage)
    return Found(refused, delivered, copies, twice)


def refuse_second(stage: Stage) -> dict[str, str]:
    with stage.running(("relay",), stage.database("first")):
        return stage.refusals(("relay", "pipeline"), stage.database("second"))


def deliver_side_by_side(stage: Stage, messages: int, foreign: int) -> list[Delivered]:
    """The other producer writes to the second one's topic."""
    one, two = (stage.database(f"herald_{number}") for number in range(2))
    roles = ("relay", "pipeline", "pipeline")
    with (
        Provider() as first,
        Provider() as second,
        stage.running(roles, one, HERALD_TOPIC_PREFIX=PREFIXES[0]),
        stage.running(roles, two, HERALD_TOPIC_PREFIX=PREFIXES[1]),
    ):
        for begin in range(0, messages, BATCH):
            numbers = range(begin, min(begin + BATCH, messages))
            write(one, numbers, first.address)
            write(two, numbers, second.address)
        write_foreign(stage, range(messages, messages + foreign), second.address)
        await_sent(one, messages)
        await_sent(two, messages + foreign)
        found = [Delivered(PREFIXES[0], messages, 0), Delivered(PREFIXES[1], messages, foreign)]
        for herald, provider, url in zip(found, (first, second), (one, two), strict=True):
            herald.calls = Counter(call.number for call in provider.arrivals)
            herald.requested_again = count(url, _EVENTS, "message.requested") - messages
    return found


def copy_beside(stage: Stage) -> tuple[list[Copy], int]:
    """The original works while the copies' processes start; returns the copies, and calls beyond one per message."""
    original, server = stage.database("original"), stage.server
    with Provider() as provider:
        write(original, range(PENDING), provider.address)
        with stage.running(("relay",), original):
            pass  # the source, the prefix and the topics are there
        server.execute("CREATE DATABASE templated TEMPLATE original")
        server.execute("CREATE DATABASE dumped")
        dump = subprocess.run([server.tool("pg_dump"), original], capture_output=True, check=True).stdout
        psql = [str(server.tool("psql")), "-q", "-v", "ON_ERROR_STOP=1", server.url("dumped")]
        subprocess.run(psql, input=dump, capture_output=True, check=True)
        with standby_of(server) as standby:
            standby.promote()
            places = {
                "CREATE DATABASE … TEMPLATE": server.url("templated"),
                "dump, restored": server.url("dumped"),
                "base backup, promoted": standby.url("original"),
            }
            with stage.running(ROLES, original):
                said = {name: stage.refusals(ROLES, url) for name, url in places.items()}
                await_sent(original, PENDING)
            copies = [Copy(name, said[name], count(url, _EVENTS, "message.started")) for name, url in places.items()]
        return copies, len(provider.arrivals) - PENDING


def write(database: str, numbers: Iterable[int], address: str) -> None:
    with closing(connect_to_tables(database)) as connection:
        accepted(connection, *(make_acceptance("notifications", f"user-{n}", letter(n, address)) for n in numbers))


def letter(number: int, address: str) -> bytes:
    data = {"user_id": f"user-{number}", "event": "fault", "content": str(number)}
    return json.dumps({**data, "channel": "webhook", "address": address}).encode()


def write_foreign(stage: Stage, numbers: Iterable[int], address: str) -> None:
    """Plain JSON, as a producer writes it that knows of no Herald."""
    producer = Producer({"bootstrap.servers": stage.kafka.bootstrap_servers})
    for number in numbers:
        producer.produce(f"{PREFIXES[1]}notifications", letter(number, address), f"user-{number}")
    assert producer.flush(FLUSHED) == 0


def await_sent(database: str, messages: int) -> None:
    def are_sent() -> bool:
        left = count(database, _NOT_SENT)
        return count(database, "SELECT count(*) FROM messages") == messages and not left

    eventually(are_sent, OVER + messages / SLOWEST, what=f"{messages} are sent")


def count(database: str, query: str, *values: object) -> int:
    """As a stranger: Herald's own connections refuse a copy, and another prefix."""
    with closing(connect_to_tables(database)) as connection:
        ((found,),) = fetch(connection, query, *values)
    return int(found)


def describe(found: Found) -> str:
    """For the page."""
    refused = "\n".join(f"- {role}: “{words}”" for role, words in found.refused.items())
    head = "| prefix | own | of others | calls | beyond one each | requested again |\n|---|---|---|---|---|---|"
    lines = [
        f"| `{one.prefix}` | {one.own:,} | {one.foreign:,} | {one.calls.total():,} |"
        f" {one.calls.total() - len(one.calls):,} | {one.requested_again:,} |"
        for one in found.delivered
    ]
    copies = "\n".join(
        f"| {copy.name} | {copy.calls} | {'; '.join(sorted({f'“{words}”' for words in copy.said.values()}))} |"
        for copy in found.copies
    )
    return paragraphs(
        [
            f"{machine()}. All defaults, the second Herald:",
            refused,
            "Each with a prefix and two pipelines:",
            "\n".join([head, *lines]),
            f"Copies beside the original, {PENDING} messages pending in each; all processes of each were started:",
            f"| copy | calls | what each process said |\n|---|---|---|\n{copies}",
        ]
    )
