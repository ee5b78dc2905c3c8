"""Queues by destination: each gets its turn and has its limit, so that a slow one holds up only itself."""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from herald.outbox.destination.policies import Policy, channel_of
from herald.pipeline.deliver.attempt import Attempt

WEIGHT = 0.1  # of the newest delivery in the average
SHORTEST_WAIT = 1.0  # seconds a message of a busy destination is put off, at least


@dataclass(slots=True)
class _Channel:
    limit: int
    active: int = 0


@dataclass(slots=True)
class _Queue:
    """`pace`: seconds a delivery takes on average; `open`: attempts that wait or run, `active`: those that run."""

    channel: _Channel
    limit: int
    pace: float
    is_measured: bool = False
    is_in_turn: bool = False
    active: int = 0
    open: int = 0
    ready: deque[Attempt] = field(default_factory=deque)

    @property
    def has_room(self) -> bool:
        return self.active < self.limit and self.channel.active < self.channel.limit


class Destinations:
    """What is ready, by destination; `assumed` seconds per delivery until one was measured.

    Not safe by itself: its owner holds a lock.
    """

    def __init__(self, policy: Callable[[str | None], Policy], *, assumed: float) -> None:
        self._policy = policy
        self._assumed = assumed
        self._channels: dict[str | None, _Channel] = {}
        self._queues: dict[str | None, _Queue] = {}
        self._turns: deque[_Queue] = deque()

    @property
    def has_ready(self) -> bool:
        return any(queue.has_room for queue in self._turns)

    @property
    def has_queued(self) -> bool:
        """Whether anything is ready, with room or without."""
        return any(queue.ready for queue in self._queues.values())

    def opened(self, destination: str | None) -> None:
        """One more attempt is claimed for it."""
        self._queue(destination).open += 1

    def put(self, attempt: Attempt) -> None:
        """It may begin."""
        queue = self._queue(attempt.destination)
        queue.ready.append(attempt)
        self._line_up(queue)

    def take(self) -> tuple[Attempt, float] | None:
        """The next that may begin, in turn over the destinations, and how long one takes there."""
        for _ in range(len(self._turns)):
            queue = self._turns.popleft()
            queue.is_in_turn = False
            if not queue.has_room:
                self._line_up(queue)
                continue
            attempt = queue.ready.popleft()
            queue.active += 1
            queue.channel.active += 1
            self._line_up(queue)
            return attempt, queue.pace
        return None

    def done(self, attempt: Attempt, seconds: float) -> None:
        queue = self._queue(attempt.destination)
        queue.active -= 1
        queue.open -= 1
        queue.channel.active -= 1
        queue.pace = queue.pace + WEIGHT * (seconds - queue.pace) if queue.is_measured else seconds
        queue.is_measured = True
        self._line_up(queue)

    def given_back(self, attempt: Attempt) -> None:
        """It never began."""
        self._queue(attempt.destination).open -= 1

    def wait(self, destination: str | None, *, lane: int, within: float) -> float | None:
        """None when one more would begin `within` seconds behind so many of its lane; else when to come again.

        That is after `within`, however long the queue looks: what was measured may be over, as after calls
        that hung until their deadline.
        """
        queue = self._queues.get(destination)
        if queue is None:
            return None
        expected = max(queue.open / queue.limit, lane) * queue.pace
        return None if expected <= within else max(within, SHORTEST_WAIT)

    def abandon(self) -> list[Attempt]:
        left = [attempt for queue in self._queues.values() for attempt in queue.ready]
        for queue in self._queues.values():
            queue.ready.clear()
            queue.is_in_turn = False
        self._turns.clear()
        return left

    def _queue(self, destination: str | None) -> _Queue:
        found = self._queues.get(destination)
        if found is None:
            name = channel_of(destination)
            policy = self._policy(destination)
            channel = self._channels.setdefault(name, _Channel(policy.concurrency))
            # only what is outside has a limit of its own: a handler, or a channel without a host, has its channel's
            is_host = destination is not None and ":" in destination
            limit = policy.destination_concurrency if is_host else policy.concurrency
            found = self._queues[destination] = _Queue(channel, limit, self._assumed)
        return found

    def _line_up(self, queue: _Queue) -> None:
        if queue.ready and not queue.is_in_turn and queue.active < queue.limit:
            queue.is_in_turn = True
            self._turns.append(queue)
