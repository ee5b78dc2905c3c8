"""Whose fault it is when a handler or a channel raises what nobody foresaw.

It is the message's, where others of its kind are delivered: after it failed before, or last, and lately, when it fails
for the first time. Where nothing of the kind succeeds, the handler, the channel or the topic's own code is at fault:
no attempt counts, nobody's message ends, and what works of other kinds goes on. A kind is a topic and a channel.
"""

import threading
from collections.abc import Callable
from time import monotonic
from uuid import UUID

import structlog

from herald.outbox.destination.policies import channel_of
from herald.outbox.postgres.conviction import Convictions
from herald.pipeline.channel import PermanentError, TemporaryError, UnknownOutcomeError
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.retry import reason_of
from herald.pipeline.sparing import OncePer

LATELY = 60.0  # seconds since a success, within which it speaks for its kind
TELL_AGAIN = 60.0  # seconds between two lines about a kind of which nothing succeeds
MOST_NOTED = 10_000  # messages of which it is known when they failed
FORESEEN = (PermanentError, TemporaryError, UnknownOutcomeError, OSError)  # how destinations fail, not programs

Kind = tuple[str, str | None]

_log = structlog.get_logger()


class Blame:
    """Knows when something of a kind was delivered last; called from every delivery thread. `clock` in seconds."""

    def __init__(self, *, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._delivered: dict[Kind, float] = {}
        self._failed: dict[Kind, float] = {}
        self._noted: dict[UUID, float] = {}
        self._once = OncePer(TELL_AGAIN, clock)
        self._ended = Convictions()

    def delivered(self, attempt: Attempt) -> None:
        """It succeeded, and with it the topic's own code."""
        now = self._clock()
        self._delivered[_kind(attempt)] = now
        self._delivered[attempt.request.topic, None] = now

    def is_the_messages(self, error: BaseException, attempt: Attempt) -> bool:
        """Whether its attempt counts; notes that it failed."""
        kind, message, now = _kind(attempt), attempt.request.id, self._clock()
        with self._lock:
            delivered = self._delivered.get(kind, float("-inf"))
            before = self._noted.pop(message, None)
            if before is None:
                is_guilty = now - delivered <= LATELY and delivered > self._failed.get(kind, float("-inf"))
            else:
                is_guilty = delivered > before
            self._noted[message] = self._failed[kind] = now
            if len(self._noted) > MOST_NOTED:
                del self._noted[next(iter(self._noted))]
        if not is_guilty:
            self._tell(kind, error)
        return is_guilty

    def may_end(self, error: BaseException) -> bool:
        """Whether one more message may end of such an error; above 20 a minute they wait."""
        with self._lock:
            return self._ended.allows(error)

    def _tell(self, kind: Kind, error: BaseException) -> None:
        if self._once.allows(kind):
            topic, channel = kind
            said = {"reason": reason_of(error), "next": "its messages wait, and no attempt counts"}
            _log.error("nothing_succeeds", topic=topic, channel=channel, exc_info=error, **said)


def _kind(attempt: Attempt) -> Kind:
    """What failed before there was a channel is the topic's own code."""
    request = attempt.request
    return request.topic, None if request.error is not None else channel_of(attempt.destination)
