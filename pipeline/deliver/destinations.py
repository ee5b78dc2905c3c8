"""Queues by destination: each gets its turn and has its limit, so that a slow one holds up only itself."""

import sys
from collections import deque
from collections.abc import Callable
from time import monotonic

from herald.outbox.destination.policies import Policy, channel_of
from herald.outbox.watched.life import LIMIT
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.queues import Channel, Queue

WEIGHT = 0.1  # of the newest delivery in the average
SHORTEST_WAIT = 1.0  # seconds a message of a busy destination is put off, at least


class Destinations:
    """What is ready, by destination; `assumed` seconds per delivery until one was measured.

    `most` calls run at once; over one channel and to one destination, as many as its policy says. Of a channel's a
    quarter is kept from destinations that are slow: two hundred silent ones leave room for those that answer. Times are
    by `clock`. Not safe by itself: its owner holds a lock.
    """

    def __init__(
        self,
        policy: Callable[[str | None], Policy],
        *,
        assumed: float,
        most: int = sys.maxsize,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.assumed = assumed
        self.most = most
        self._policy = policy
        self._clock = clock
        self._channels: dict[str | None, Channel] = {}
        self._queues: dict[str | None, Queue] = {}
        self._turns: deque[Queue] = deque()

    @property
    def has_ready(self) -> bool:
        return any(queue.channel.has_room for queue in self._turns)

    @property
    def has_queued(self) -> bool:
        """Whether anything is ready, with room or without."""
        return any(queue.ready for queue in self._queues.values())

    def opened(self, destination: str | None) -> None:
        """One more attempt is claimed for it."""
        queue = self._queue(destination)
        queue.open += 1
        queue.channel.open += 1

    def put(self, attempt: Attempt) -> None:
        """It may begin."""
        queue = self._queue(attempt.destination)
        queue.ready.append(attempt)
        self._line_up(queue)

    def take(self) -> tuple[Attempt, float] | None:
        """The next that may begin, in turn over the destinations, and how long one takes there."""
        now = self._clock()
        while self._turns:
            queue = self._turns.popleft()
            if self._is_held(queue, now):
                continue
            queue.is_in_turn = False
            attempt = queue.ready.popleft()
            if queue.is_slow(now):
                queue.channel.slow[id(attempt)] = now
            else:
                queue.channel.quick[id(attempt)] = now
            queue.begun[id(attempt)] = now
            self._line_up(queue)
            return attempt, queue.pace
        return None

    def done(self, attempt: Attempt, seconds: float) -> None:
        queue = self._queue(attempt.destination)
        channel = queue.channel
        del queue.begun[id(attempt)]
        self.given_back(attempt)
        if channel.quick.pop(id(attempt), None) is None:
            del channel.slow[id(attempt)]
        queue.pace = seconds if queue.last == float("inf") else queue.pace + WEIGHT * (seconds - queue.pace)
        queue.last = seconds
        self._line_up(queue)
        if queue in channel.reserved and not queue.is_slow(self._clock()):
            del channel.reserved[queue]
            self._turns.append(queue)
        self._offer(channel)

    def given_back(self, attempt: Attempt) -> None:
        """It is not open any more."""
        queue = self._queue(attempt.destination)
        queue.open -= 1
        queue.channel.open -= 1

    def wait(self, destination: str | None, *, lane: int, within: float) -> float | None:
        """None when one more would begin `within` seconds behind so many of its lane; else when to come again.

        That is after `within`, however long the queue looks: what was measured may be over, as after calls
        that hung until their deadline. A slow destination waits for the places that its channel has for all slow
        ones: what is claimed for thousands of them would leave no room for others.
        """
        queue = self._queues.get(destination)
        if queue is None:
            return None
        now = self._clock()
        expected = max(queue.open / queue.limit, lane) * max(queue.pace, queue.age(now))
        if queue.open and queue.is_slow(now):  # one of each stays in line
            expected = max(expected, queue.channel.wait_for_slow(now))
        return None if expected <= within else max(within, SHORTEST_WAIT)

    def overdue(self, since: float) -> set[str]:
        """Over which channels a call goes on for as long beyond its time as a thread may be silent."""
        now, found = self._clock(), set()
        for destination, queue in self._queues.items():
            began = max(since, next(iter(queue.begun.values()), now))
            if now - began > self._policy(destination).timeout + LIMIT:
                found.add(f"over {channel}" if (channel := channel_of(destination)) else "by a handler")
        return found

    def abandon(self) -> list[Attempt]:
        left = [attempt for queue in self._queues.values() for attempt in queue.ready]
        for queue in self._queues.values():
            queue.ready.clear()
            queue.is_in_turn = False
        self._turns.clear()
        for channel in self._channels.values():
            channel.full.clear()
            channel.reserved.clear()
        return left

    def _queue(self, destination: str | None) -> Queue:
        found = self._queues.get(destination)
        if found is None:
            name = channel_of(destination)
            policy = self._policy(destination)
            # what is called directly, a topic's handler, has as many calls as there are
            most = self.most if name is None else policy.concurrency
            channel = self._channels.setdefault(name, Channel(most))
            # only what is outside has a limit of its own: a handler, or a channel without a host, has its channel's
            is_host = destination is not None and ":" in destination
            limit = policy.destination_concurrency if is_host else most
            found = Queue(channel, limit, self.assumed, is_host=is_host)
            self._queues[destination] = found
        return found

    def _line_up(self, queue: Queue) -> None:
        if queue.ready and not queue.is_in_turn and queue.active < queue.limit:
            queue.is_in_turn = True
            self._turns.append(queue)

    def _is_held(self, queue: Queue, now: float) -> bool:
        """Whether it waits for a place from now on, and loses its turn until there is one."""
        channel = queue.channel
        channel.age(now)
        if not channel.has_room:
            channel.full.append(queue)
            return True
        if queue.is_slow(now) and not channel.has_room_for_slow:
            channel.reserved[queue] = None
            self._offer(channel)
            return True
        return False

    def _offer(self, channel: Channel) -> None:
        """The place that is free over a channel goes to one that waits for it."""
        if channel.full and channel.has_room:
            self._turns.append(channel.full.popleft())
        if channel.reserved and channel.has_room_for_slow:
            queue = next(iter(channel.reserved))
            del channel.reserved[queue]
            self._turns.append(queue)
