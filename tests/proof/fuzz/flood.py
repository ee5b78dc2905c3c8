"""Records of every kind beside good traffic, through the real pipeline, and what each came to."""

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from time import monotonic
from typing import Any, NamedTuple

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from herald.outbox.kafka.offsets import Offsets, partitions_of, read_committed, read_end_offsets
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import DEAD_LETTERS, TOPICS
from tests.outbox.connections import connected, make_settings
from tests.proof.end_to_end.topic import reading
from tests.proof.faults.court import DATABASE, Court
from tests.proof.faults.oracle import Verdict
from tests.proof.faults.report import machine, paragraphs
from tests.proof.fuzz.accounting import Account, Found, settle
from tests.proof.fuzz.beside import ADOPTED, Beside
from tests.proof.fuzz.copies import Copies, Place, place_of
from tests.proof.fuzz.records import Forged, Forger
from tests.proof.fuzz.values import Draw
from tests.servers.eventually import eventually

RATE = 20.0  # good requests per second
AT_ONCE = 100  # records between two looks at what was copied meanwhile
ANSWER = 10.0  # seconds
WARM = 60.0  # seconds until good records can be copied
STALLED = 120.0  # seconds without progress until the pipeline counts as stopped
SOURCE, LETTERS = "/herald", "notifications"
SHOWN = 20  # records that went wrong, the shortest first

_DATA = f"""
SELECT m.topic, o.data::text, m.id::text, m.status, m.reason
FROM messages AS m JOIN outbox AS o ON o.stream_id = m.id AND o.version = m.data_version WHERE m.id::text IN ({ADOPTED})
"""
_OVER = ("sent", "dead", "expired", "scheduled")


class Adopted(NamedTuple):
    """A message that came from a record of somebody else."""

    topic: str
    data: str
    id: str
    status: str
    reason: str | None


@dataclass
class Flood:
    """What was written and what came of it; `ended` are the processes that ended, by name."""

    seed: int
    forged: dict[Place, Forged] = field(default_factory=dict)
    untaken: int = 0
    ended: list[str] = field(default_factory=list)
    stuck: list[str] = field(default_factory=list)
    seconds: float = 0.0
    statuses: Counter[str] = field(default_factory=Counter)
    account: Account = field(default_factory=Account)
    verdict: Verdict = field(default_factory=Verdict)

    def assert_clean(self) -> None:
        """Raises AssertionError that shows the smallest records that went wrong."""
        wrong = self.ended + [f"stuck at: {one}" for one in self.stuck]
        wrong += self.account.wrong[:SHOWN] + self.verdict.violations
        assert not wrong, f"seed {self.seed}\n" + "\n".join(wrong)


def flood(court: Court, *, records: int, seed: int) -> Flood:
    """Write so many beside the load, wait until all are read and over, and account for each."""
    found, began = Flood(seed), monotonic()
    beside = Beside(court, found.ended)
    with ExitStack() as stack:
        copies = stack.enter_context(Copies(court.kafka.bootstrap_servers, found.forged, beside.over))
        stack.enter_context(beside.load(RATE, seed))
        eventually(lambda: copies.own, WARM, what="some of Herald's records can be copied")
        forger = Forger(Draw(seed), court.scene.provider.address, SOURCE)
        _write(beside, found, copies, forger, records)
        _await_read(beside, found)
    _await_over(beside, found)
    found.seconds = monotonic() - began
    adopted = _read_adopted(court)
    _check_calls(court, found, adopted)
    found.account = settle(found.forged, _find(court, found, adopted))
    found.verdict = beside.judge({row.id for row in adopted})
    return found


def _write(beside: Beside, found: Flood, copies: Copies, forger: Forger, records: int) -> None:
    servers = {"bootstrap.servers": beside.court.kafka.bootstrap_servers}
    producer = Producer({**servers, "message.max.bytes": 2_000_000, "log_level": 0})
    for first in range(0, records, AT_ONCE):
        own = copies.own
        for _ in range(min(AT_ONCE, records - first)):
            _produce(producer, forger.next(own), found)
        assert producer.flush(ANSWER) == 0
        beside.look()


def _produce(producer: Producer, record: Forged, found: Flood) -> None:
    def reported(error: KafkaError | None, message: Message) -> None:
        if error is None:
            found.forged[place_of(message)] = record
        else:
            found.untaken += 1

    options: dict[str, Any] = {"headers": record.headers, "on_delivery": reported}
    if record.timestamp:
        options["timestamp"] = record.timestamp
    try:
        producer.produce(record.topic, record.value, record.key, **options)
    except (KafkaException, ValueError, OverflowError):
        found.untaken += 1
    producer.poll(0)


def _await_read(beside: Beside, found: Flood) -> None:
    """Until the pipeline has committed all that is there now; where it gets no further, note where it stands."""
    partitions = partitions_of(beside.court.admin.list_topics(timeout=ANSWER), TOPICS)
    ends = read_end_offsets(beside.court.admin, partitions)
    best, since = None, monotonic()
    while (left := _unread(beside.court, ends)) and monotonic() - since < STALLED:
        beside.look()
        if left != best:
            best, since = left, monotonic()
    for place in left:
        record = found.forged.get(place)
        found.stuck.append(record.shown() if record else f"{place}, which nobody forged")


def _unread(court: Court, ends: Offsets) -> list[Place]:
    """Where the group stands, of each partition that it has not read so far."""
    group = court.scene.fleet.settings["HERALD_GROUP"]
    others = {"KAFKA_BOOTSTRAP_SERVERS": court.kafka.bootstrap_servers, "group": group}
    settings = make_settings(court.server.url(DATABASE), **others)
    committed = read_committed(settings, {topic: map(int, numbers) for topic, numbers in ends.items()})
    return [
        (topic, int(number), committed.get(topic, {}).get(number, 0))
        for topic, numbers in ends.items()
        for number, end in numbers.items()
        if committed.get(topic, {}).get(number, 0) < end
    ]


def _await_over(beside: Beside, found: Flood) -> None:
    """Until no message waits for anything but its date."""

    def is_over() -> bool:
        beside.look()
        left = {status: count for status, count in beside.court.scene.left().items() if status not in _OVER}
        assert not left, str(left)
        return True

    try:
        eventually(is_over, STALLED, what="every message is over")
    except AssertionError as error:
        found.stuck.append(str(error))


def _read_adopted(court: Court) -> list[Adopted]:
    with connected(court.server.url(DATABASE)) as connection:
        return [Adopted(*row) for row in fetch(connection, _DATA)]


def _check_calls(court: Court, found: Flood, adopted: list[Adopted]) -> None:
    """What is adopted is over; it was called once where it is sent, and has a reason where it is dead."""
    found.statuses = Counter(row.status for row in adopted)
    provider = court.scene.provider
    calls = Counter(arrival.id for arrival in provider.arrivals)
    for row in adopted:
        if row.status == "dead" and not row.reason:
            found.stuck.append(f"{row.id} is dead without a reason")
        goes_there = f'"address": "{provider.address}", "channel": "webhook"' in row.data and row.topic == LETTERS
        if row.status == "sent" and calls[row.id] != (1 if goes_there else 0):
            found.stuck.append(f"{row.id}: {row.data} is {row.status}, and was called {calls[row.id]} times")


def _find(court: Court, found: Flood, adopted: list[Adopted]) -> Found:
    with connected(court.server.url(DATABASE)) as connection:
        ids = {one for (one,) in fetch(connection, "SELECT id::text FROM messages")}
    data = [(row.topic, row.data) for row in adopted]
    return Found(dict(_buried(court, found)), data, frozenset(ids - {row.id for row in adopted}), SOURCE)


def _buried(court: Court, found: Flood) -> Iterator[tuple[Place, str]]:
    """The places of records on the dead-letter topic, and the reasons; what was forged there is left out."""
    with reading(court.kafka.bootstrap_servers, DEAD_LETTERS) as reader:
        for record in reader.read():
            headers = record.headers() or []
            if place_of(record) in found.forged or "herald_offset" not in dict(headers):
                continue
            origin: dict[str, bytes] = {}
            for name, value in headers:
                origin.setdefault(name, value or b"")  # the record's own headers come behind  # type: ignore[arg-type]
            place = origin["herald_topic"].decode(), int(origin["herald_partition"]), int(origin["herald_offset"])
            yield place, origin["herald_reason"].decode()


def describe(found: Flood) -> str:
    """For the page."""
    fates = sorted({fate for fates in found.account.fates.values() for fate in fates})
    rows = [f"| record | {' | '.join(fates)} |", "|---|" + "---|" * len(fates)]
    for kind, counted in sorted(found.account.fates.items()):
        rows.append(f"| {kind} | {' | '.join(f'{counted[fate]:,}' for fate in fates)} |")
    taken = sum(counted.total() for counted in found.account.fates.values())
    head = (
        f"{machine().replace('fsync on', 'fsync off')}. Seed {found.seed}; {taken:,} records in {found.seconds:,.0f} s,"
        f" {found.untaken:,} more that Kafka did not take; {found.verdict.figures['accepted']:,} good requests beside"
        f" them, lost: {found.verdict.figures['lost']}. Processes that ended: {len(found.ended)}."
    )
    ends = ", ".join(f"{count:,} {status}" for status, count in found.statuses.most_common())
    return paragraphs([head, "\n".join(rows), f"Of what was adopted: {ends}.", found.verdict.in_words()])
