"""What strikes: processes, sessions, servers, topics, the group. Chance draws which, and when it is over."""

from collections.abc import Callable

from herald.outbox.relay.records import Headers
from tests.proof.model.kafka import KafkaAwayError, Sent
from tests.proof.model.pipeline import Pipeline
from tests.proof.model.postgres import Row
from tests.proof.model.relay import Relay
from tests.proof.model.world import TOPIC, Steps, World


class Faults:
    """One kind of world differs from the next: each seed draws which faults there are at all."""

    def __init__(
        self, world: World, relays: list[Relay], pipelines: list[Pipeline], restart_api: Callable[[], None]
    ) -> None:
        self._world, self._relays, self._pipelines, self._restart_api = world, relays, pipelines, restart_api
        kinds: list[Callable[[], None]] = [
            self._kill_relay,
            self._freeze_relay,
            self._freeze_relay_over_another_server,
            self._kill_pipeline,
            self._restart_api,
            self._cut_session,
            self._rebalance,
            self._stop_kafka,
            self._crash,
            self._fail_over,
            self._fail_over,
            self._restore,
            self._delete_topic,
            self._truncate,
            self._remove,
            self._delete_group,
            self._add_partitions,
        ]
        self._kinds = world.random.sample(kinds, world.random.randint(1, 6))

    def run(self) -> Steps:
        random = self._world.random
        end = self._world.clock + random.uniform(5, 60)
        while self._world.clock < end:
            yield random.uniform(0.5, 10)
            if random.random() < 0.9:
                random.choice(self._kinds)()
        self._world.is_calm = True
        self._world.judge.calm_since = self._world.steps
        self._world.say("--- no more faults")

    def _kill_relay(self) -> None:
        self._world.random.choice(self._relays).kill(self._world.random.uniform(1, 6))

    def _freeze_relay(self) -> None:
        leading = [relay for relay in self._relays if relay.leads] or self._relays
        self._world.random.choice(leading).sleep(self._world.random.uniform(3, 20))

    def _freeze_relay_over_another_server(self) -> None:
        """The leader sleeps through a fail-over or a restore, and wakes when another leads; that one dies soon."""
        self._world.start("fault", self._freeze_before_it_saves())

    def _freeze_before_it_saves(self) -> Steps:
        leader: Relay | None = None
        while leader is None:
            leader = next((one for one in self._relays if one.current and one.current.is_unsaved), None)
            if leader is None:
                yield 0.05
            if self._world.is_calm:
                return
        seconds = self._world.random.uniform(8, 20)
        leader.sleep(seconds)
        self._world.random.choice((self._fail_over, self._restore))()
        yield seconds + self._world.random.uniform(0, 3)
        self._relays[1 - self._relays.index(leader)].kill(2.0)

    def _kill_pipeline(self) -> None:
        self._world.random.choice(self._pipelines).kill(self._world.random.uniform(1, 15))

    def _cut_session(self) -> None:
        if self._world.database.sessions:
            self._world.say("a session is lost")
            self._world.random.choice(self._world.database.sessions).end()

    def _rebalance(self) -> None:
        self._world.say("the group rebalances")
        self._world.kafka.rebalance()

    def _stop_kafka(self) -> None:
        self._world.kafka.is_away = True
        self._world.start("Kafka", self._start_kafka(), rest=self._world.random.uniform(1, 10))

    def _start_kafka(self) -> Steps:
        self._world.kafka.is_away = False
        yield 0.0

    def _crash(self) -> None:
        """What was not yet on disk is gone; nobody was told that it was stored."""
        database = self._world.database
        kept = self._world.random.randint(database.flushed, len(database.wal))
        self._lose("PostgreSQL crashes", lambda: database.survive(kept))

    def _fail_over(self) -> None:
        database = self._world.database
        kept = max(len(database.wal) - self._world.random.randint(0, 8), 0)
        if not database.wal:
            return
        self._lose(f"fail-over: the standby lacks {len(database.wal) - kept} commits", lambda: database.survive(kept))
        database.timeline += 1

    def _restore(self) -> None:
        database = self._world.database
        if not database.wal or database.state.cursor is None:
            return
        kept = max(len(database.wal) - self._world.random.randint(0, 20), 1)
        self._lose("the database is restored in a new cluster", lambda: database.restore(kept))

    def _lose(self, what: str, strike: Callable[[], list[Row]]) -> None:
        self._world.say(what)
        self._world.judge.database_lost(strike())
        self._world.database.is_away = True
        self._world.start("PostgreSQL", self._start_database(), rest=self._world.random.uniform(0.5, 8))

    def _start_database(self) -> Steps:
        self._world.database.is_away = False
        yield 0.0

    def _delete_topic(self) -> None:
        if TOPIC not in self._world.kafka.topics:
            return
        self._world.say("the topic is deleted")
        self._world.kafka.delete(TOPIC)
        if self._world.random.random() < 0.5:
            self._world.kafka.make_topics()
        self._world.judge.kafka_lost()

    def _truncate(self) -> None:
        """A broker that lags becomes the leader: the newest records are gone, their offsets come again."""
        topic = self._world.kafka.topics.get(TOPIC)
        if topic is None:
            return
        records = self._world.random.choice(topic.partitions)
        count = min(len(records), self._world.random.randint(1, 4))
        self._world.say("Kafka loses the last {} records of a partition", count)
        self._world.judge.truncations += 1
        del records[len(records) - count :]
        topic.first = [min(first, len(left)) for first, left in zip(topic.first, topic.partitions, strict=True)]
        self._world.judge.kafka_lost()

    def _remove(self) -> None:
        """The retention removes the oldest records of a partition, read or not."""
        topic = self._world.kafka.topics.get(TOPIC)
        if topic is None:
            return
        number = self._world.random.randrange(len(topic.partitions))
        first = self._world.random.randint(topic.first[number], len(topic.partitions[number]))
        self._world.say("Kafka removes the records of partition {} below {}", number, first)
        topic.first[number] = first
        self._world.judge.kafka_lost()

    def _delete_group(self) -> None:
        self._world.say("the group is deleted")
        self._world.kafka.committed.clear()
        self._world.kafka.rebalance()
        self._world.judge.losses += 1

    def _add_partitions(self) -> None:
        topic, kafka = self._world.kafka.topics.get(TOPIC), self._world.kafka
        if topic is None or len(topic.partitions) >= 4:
            return
        self._world.say("a partition is added")
        kafka.partitions = len(topic.partitions) + 1
        topic.add_partition()
        kafka.rebalance()


def seeding_producer(world: World) -> Steps:
    """Another producer, without clock or ids, that writes the same again whenever the topic was made anew."""
    seeded, number = "", 0
    while world.random.random() < 0.98:
        topic = world.kafka.topics.get(TOPIC)
        if topic is not None and topic.id != seeded and not world.kafka.is_away:
            seeded, number = topic.id, number + 1
            world.kafka.append(TOPIC, Sent(b'{"foreign":"seed"}', "a", 0, None, (f"seed {number}", 1)))
            world.judge.foreign_landed(f"seed {number}")
        yield world.random.uniform(0.3, 1.5)


def foreign_producer(world: World) -> Steps:
    """Another producer: with CloudEvents ids or without, with a clock or without, sometimes twice."""
    for number in range(world.random.randint(0, 4)):
        yield world.random.uniform(0, 12)
        token = f"foreign {number}"
        has_id, text = world.random.random() < 0.4, world.random.choice(("hello", "hello", token))
        headers: Headers | None = [("ce_id", token), ("ce_source", "/other")] if has_id else None
        timestamp = 0 if world.random.random() < 0.7 else 1_767_225_600_000 + int(world.clock * 1000)
        value = b'{"foreign":"%s"}' % text.encode()
        for _ in range(world.random.choice((1, 1, 2)) if has_id else 1):
            try:
                world.kafka.append(TOPIC, Sent(value, world.random.choice(("a", "b")), timestamp, headers, (token, 1)))
            except KafkaAwayError:
                continue
            world.judge.foreign_landed(token)
            yield 0.0
