"""Three brokers, topics with one copy, and one broker down: what it costs the keys whose partitions are led.

Everything is read when it is over, so that measuring takes no CPU from what is measured: when a record was appended
says the broker (`LogAppendTime`, milliseconds), when a message was sent says the database, when it was posted this
process; all by the clock of one machine.
"""

import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import inf
from pathlib import Path
from threading import Event
from typing import NamedTuple

from confluent_kafka import Consumer, TopicPartition

from herald.outbox.kafka.partitioner import partition_of
from herald.outbox.postgres.statements import fetch
from herald.outbox.registry import TOPICS
from tests.conftest import migrate
from tests.outbox.connections import connected
from tests.proof.faults.bulk_load import TOPIC as LOGGED
from tests.proof.faults.bulk_load import BulkLoad
from tests.proof.faults.fleet import Fleet
from tests.proof.faults.ledger import Entry, Ledger, Load
from tests.proof.faults.oracle import Verdict
from tests.proof.faults.provider import Provider
from tests.proof.faults.recovery import p99
from tests.proof.faults.report import machine, measured
from tests.proof.faults.scene import Scene
from tests.servers.eventually import eventually
from tests.servers.kafka_cluster import NODES, KafkaCluster
from tests.servers.postgres import DURABLE, PostgresServer

DEFAULTS = {"broker.session.timeout.ms": "9000", "broker.heartbeat.interval.ms": "2000"}  # Kafka's: who is dead
BEFORE = 30.0  # seconds of normal work to compare with
WARM = 10.0  # seconds, before that
SETTLING = 20.0  # seconds after the kill that are told apart: until the cluster, then Herald know who leads nothing
PARTITIONS = 6
MOST_RATIO = 2.0  # of p99 during to p99 before
MANY = 200.0  # requests per second from which on they come in batches
READ_TIMEOUT = 30.0  # seconds for the next records to come

_SENT = "SELECT stream_id::text, extract(epoch FROM recorded_at)::float8 FROM outbox WHERE type = 'message.sent'"
_WITHHELD = "SELECT topic || ' ' || partition, waiting FROM relay_withheld"
_pause = Event()


@dataclass
class Plan:
    """Seconds but for `rate`, which is requests per second."""

    seconds: float
    rate: float
    before: float = BEFORE
    warm: float = WARM
    settling: float = SETTLING

    @property
    def users(self) -> int:
        """Keys: few messages of a key are under way at once."""
        return 60 if self.rate < MANY else 2_000


class Span(NamedTuple):
    """Delays in seconds of the requests of one stretch of time, all on partitions that are led throughout."""

    published: list[float]
    sent: list[float]

    @property
    def p99s(self) -> tuple[float, float]:
        return p99(self.published) or inf, p99(self.sent) or inf


@dataclass
class Found:
    """What came of it; seconds."""

    plan: Plan
    before: Span
    settling: Span
    during: Span
    withheld: int
    most_waiting: int
    caught_up_in: float
    terms_ended: int
    pipelines_ended: int
    idle: tuple[float, float]
    verdict: Verdict

    @property
    def ratios(self) -> tuple[float, float]:
        """Of the p99 of POST to published, and of POST to sent, during to before."""
        return (
            self.during.p99s[0] / self.before.p99s[0],
            self.during.p99s[1] / self.before.p99s[1],
        )

    def assert_kept(self) -> None:
        """Nothing lost or out of order, and no term or pipeline ended."""
        self.verdict.assert_clean()
        assert not self.terms_ended, f"{self.terms_ended} terms ended"
        assert not self.pipelines_ended, f"{self.pipelines_ended} pipelines ended"
        assert self.withheld, "nothing was withheld: the broker led nothing that was written to"


class Idle:
    """The share of the machine's time in which it did nothing since this was made; Linux."""

    def __init__(self) -> None:
        self._idle, self._all = self._read()

    def share(self) -> float:
        idle, total = self._read()
        return (idle - self._idle) / max(total - self._all, 1)

    @staticmethod
    def _read() -> tuple[int, int]:
        spent = [int(one) for one in Path("/proc/stat").read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9]]
        return spent[3] + spent[4], sum(spent)


@contextmanager
def leaderless_scene(properties: Mapping[str, str], **settings: str) -> Iterator[tuple[Scene, KafkaCluster]]:
    """One of each process and a standby relay on a cluster; topics are spread over all brokers."""
    with tempfile.TemporaryDirectory(prefix="herald-faults-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        cluster = KafkaCluster(folder, properties=properties)
        with PostgresServer(DURABLE) as server, cluster, Provider() as provider:
            server.execute("CREATE DATABASE faults")
            migrate(server.url("faults"))
            said = {"HERALD_PARTITIONS": str(PARTITIONS), **settings}
            fleet = Fleet(folder, server.url("faults"), cluster.bootstrap_servers, of_each=1, settings=said)
            yield Scene(fleet, provider, server=server), cluster


def lose_broker(scene: Scene, cluster: KafkaCluster, plan: Plan, *, deadline: float) -> Found:
    """Kill the broker that coordinates the group, under load, and start it again after so many seconds."""
    wall = time.time() - time.monotonic()
    with _load(scene, plan) as load:
        _watch(scene, plan.warm)
        idle = Idle()
        began = time.monotonic()
        _watch(scene, plan.before)
        idle_before = idle.share()
        victim = cluster.coordinator()
        led = cluster.without(victim)
        killed = time.monotonic()
        cluster.kill(victim)
        _watch(scene, plan.settling)
        idle = Idle()
        settled = time.monotonic()
        most_waiting = _watch_waiting(scene, killed + plan.seconds - settled)
        idle_during = idle.share()
        withheld = len(scene.counts(_WITHHELD))
        ended = time.monotonic()
        cluster.start(victim)
        back = time.monotonic()
        eventually(lambda: scene.fleet.revive() and not scene.counts(_WITHHELD), deadline, what="all has caught up")
        caught_up_in = time.monotonic() - back
    verdict = scene.judge(load.ledger, deadline)
    entries = [one for one in load.ledger.of("accepted") if _place(one) in led]
    published, sent = _published_at(scene.bootstrap_servers), _sent_at(scene)

    def span(start: float, end: float) -> Span:
        found = [one for one in entries if start <= one.sent < end and one.id]
        return Span(
            [published.get(str(one.id), inf) - wall - one.sent for one in found],
            [sent.get(str(one.id), inf) - wall - one.sent for one in found],
        )

    return Found(
        plan,
        span(began, killed),
        span(killed, settled),
        span(settled, ended),
        withheld,
        most_waiting,
        caught_up_in,
        _count(scene, "relay", '"leading"') - 1,
        _count(scene, "pipeline", '"pipeline_started"') - 1,
        (idle_before, idle_during),
        verdict,
    )


def _load(scene: Scene, plan: Plan) -> Load | BulkLoad:
    if plan.rate < MANY:
        return scene.load(plan.rate, users=plan.users)
    return BulkLoad(scene.fleet.ports, rate=plan.rate, users=plan.users, ledger=Ledger())


def _place(entry: Entry) -> tuple[str, int]:
    topic = "notifications" if entry.topic == LOGGED else entry.topic
    return topic, partition_of(entry.key.encode(), PARTITIONS)


def _watch(scene: Scene, seconds: float) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        scene.fleet.revive()
        _pause.wait(0.2)


def _watch_waiting(scene: Scene, seconds: float) -> int:
    """How many records waited in all at most."""
    most, end = 0, time.monotonic() + seconds
    while time.monotonic() < end:
        _watch(scene, min(2.0, max(0.0, end - time.monotonic())))
        most = max(most, sum(scene.counts(_WITHHELD).values()))
    return most


def _count(scene: Scene, role: str, event: str) -> int:
    return sum(member.output().count(event) for member in scene.fleet.of(role).values())


def _sent_at(scene: Scene) -> dict[str, float]:
    with connected(scene.database) as connection:
        return dict(fetch(connection, _SENT))


def _published_at(bootstrap_servers: str) -> dict[str, float]:
    """When the first record of each message was appended, seconds since 1970."""
    found: dict[str, float] = {}
    consumer = Consumer({"bootstrap.servers": bootstrap_servers, "group.id": "dates", "enable.auto.commit": False})
    try:
        for topic in TOPICS:
            for partition in range(PARTITIONS):
                _read_dates(consumer, TopicPartition(topic, partition), found)
    finally:
        consumer.close()
    return found


def _read_dates(consumer: Consumer, place: TopicPartition, found: dict[str, float]) -> None:
    low, high = consumer.get_watermark_offsets(place, timeout=READ_TIMEOUT)
    consumer.assign([TopicPartition(place.topic, place.partition, low)])
    offset = low
    while offset < high:
        record = consumer.poll(READ_TIMEOUT)
        assert record is not None, f"{place} ends at {high} and could be read to {offset}"
        stream, _, version = bytes(dict(record.headers() or [])["ce_id"]).decode().rpartition(".")
        if version == "1":
            at = record.timestamp()[1] / 1000
            found[stream] = min(at, found.get(stream, inf))
        offset = (record.offset() or 0) + 1


def describe(found: Found) -> str:
    """For the page."""
    plan = found.plan
    head = (
        f"{machine()}. {len(NODES)} brokers, {PARTITIONS} partitions a topic with one copy each; {plan.rate:g} requests"
        f" per second over {plan.users:,} keys; the broker that coordinates the group is killed and stays away for"
        f" {plan.seconds:g} s. Keys whose partitions are led throughout; before: {plan.before:g} s, during: from"
        f" {plan.settling:g} s after the kill on."
    )
    verdict, ratios = found.verdict, found.ratios
    return measured(
        head,
        {
            "messages accepted": verdict.figures["accepted"],
            "lost": verdict.figures["lost"],
            "parts withheld": found.withheld,
            "records that waited, at most": found.most_waiting,
            "p99 POST to published, before and during": _two(found.before.p99s[0], found.during.p99s[0]),
            "p99 POST to sent, before and during": _two(found.before.p99s[1], found.during.p99s[1]),
            "**ratio, published and sent**": f"{ratios[0]:.2f}, {ratios[1]:.2f}",
            f"longest within {plan.settling:g} s after the kill, published and sent": _two(
                _longest(found.settling.published), _longest(found.settling.sent)
            ),
            f"p99 within {plan.settling:g} s after the kill, published and sent": _two(*found.settling.p99s),
            "requests judged before, settling, during": ", ".join(
                f"{len(span.sent):,}" for span in (found.before, found.settling, found.during)
            ),
            "terms ended, pipelines ended": f"{found.terms_ended}, {found.pipelines_ended}",
            "nothing is withheld any more after": f"{found.caught_up_in:.1f} s",
            "records repeated on Kafka": verdict.figures["records repeated on Kafka"],
            "calls repeated": verdict.figures["arrivals beyond the one called sent"],
            "CPU idle before and during": f"{found.idle[0]:.0%}, {found.idle[1]:.0%}",
        },
        verdict.in_words(),
    )


def _two(one: float, other: float) -> str:
    return f"{1000 * one:,.0f} ms, {1000 * other:,.0f} ms"


def _longest(found: Sequence[float]) -> float:
    return max(found, default=0.0)
