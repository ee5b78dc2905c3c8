"""What everybody shares: the clock, chance, the servers, and who moves next."""

from collections.abc import Generator
from random import Random
from uuid import UUID

from tests.proof.model.judge import Judge
from tests.proof.model.kafka import Kafka
from tests.proof.model.postgres import Database

Steps = Generator[float, None, None]  # what an actor does, one step at a time; it yields the seconds to rest

TOPIC = "generic_topic"
MECHANISMS = (
    "stored cursor",  # a lost session goes on with the stored cursor, not with what it remembers
    "epoch",  # a save is a compare-and-swap
    "behind the consumer",  # what merely waits in Kafka is not lost
    "log start",  # what Kafka removed unread is behind the consumer
    "widths",  # a key was in another partition before their number changed
    "topic id",  # offsets repeat when a topic is made anew
    "request number",  # a record of an earlier request starts nothing
    "line",  # nothing is published past one of its key that stands in line
    "passed",  # nobody in line has a turn before the relay's cursor has passed its place
    "lease",  # nobody settles an attempt before its lease ends
)


class Actor:
    """One thread of a process; `wake` is when it goes on."""

    __slots__ = ("name", "steps", "wake")

    def __init__(self, name: str, steps: Steps, wake: float) -> None:
        self.name, self.steps, self.wake = name, steps, wake


class World:
    """Everything there is; the same seed makes the same run."""

    def __init__(self, seed: int, *, without: str | None = None, is_told: bool = False) -> None:
        self.random = Random(seed)  # noqa: S311 - chance that can be repeated, no secret
        self.without = without
        self.clock = 0.0
        self.steps = 0
        self.is_calm = False  # no more faults
        self.trace: list[str] | None = [] if is_told else None
        self.actors: list[Actor] = []
        self.database = Database()
        self.kafka = Kafka((TOPIC, "dead_letters"), self.random.randint(1, 3))
        self.judge = Judge(self)
        self.database.on_commit = self.judge.committed
        self._ids = 0

    def has(self, mechanism: str) -> bool:
        return self.without != mechanism

    def chance(self, probability: float) -> bool:
        """Never again once faults are over."""
        return not self.is_calm and self.random.random() < probability

    def new_id(self) -> UUID:
        """A UUIDv7 that the real code takes for one of Herald's."""
        self._ids += 1
        milliseconds = 1_767_225_600_000 + int(self.clock * 1000)
        return UUID(int=milliseconds << 80 | 7 << 76 | 2 << 62 | self._ids)

    def start(self, name: str, steps: Steps, *, rest: float = 0.0) -> Actor:
        actor = Actor(name, steps, self.clock + rest)
        self.actors.append(actor)
        return actor

    def stop(self, actor: Actor) -> None:
        """Kill it where it stands."""
        if actor in self.actors:
            self.actors.remove(actor)
        actor.steps.close()

    def step(self) -> None:
        """Chance draws who moves; when all rest, the clock goes on to the first that wakes."""
        clock = self.clock
        ready = [actor for actor in self.actors if actor.wake <= clock]
        if not ready:
            self.clock = min(actor.wake for actor in self.actors)
            return
        random = self.random.random
        actor = ready[int(random() * len(ready))]
        self.steps += 1
        self.clock = clock + 0.04 * random()
        try:
            rest = next(actor.steps)
        except StopIteration:
            if actor in self.actors:
                self.actors.remove(actor)
            return
        actor.wake = self.clock + rest

    def say(self, text: str, *values: object) -> None:
        """One line of the story, where somebody listens."""
        if self.trace is not None:
            text = text.format(*map(self.judge.name, values)) if values else text
            self.trace.append(f"{self.clock:8.2f}  {text}")
