"""What became of attempts, for the metrics, and for the log where somebody may have to look.

Calls are counted in batches, by the worker: counted where it was made, each would cost several microseconds.
"""

from collections import defaultdict, deque
from collections.abc import Sequence
from functools import cache

import structlog

from herald.outbox.destination.policies import channel_of
from herald.outbox.moves.record import Outcome
from herald.outbox.watched.metrics import Spread
from herald.outbox.watched.pipeline import ADOPTED, ATTEMPT_SECONDS, ATTEMPTS, CLAIMED, LATE, RETRIES
from herald.pipeline.deliver.attempt import Attempt

HANDLER = "none"  # the channel where a topic's own handler delivers
MOST_NAMED, OTHERS = 100, "others"  # destinations that are told apart, and the label of the rest
_FAILED = {"failed": "attempt_failed", "unknown": "attempt_unknown", "dead": "message_died"}
_log = structlog.get_logger()


class Made:
    """Calls that were made and are not counted yet; noted by any thread, counted by one.

    They are counted by destination where `names_destinations` says so: the first 100, and the others together.
    """

    def __init__(self, *, names_destinations: bool = False) -> None:
        self._made: deque[tuple[str | None, Outcome]] = deque()
        self._named: set[str] | None = set() if names_destinations else None

    def note(self, attempt: Attempt, outcome: Outcome) -> None:
        """One more; what went wrong is logged, without contents."""
        self._made.append((attempt.destination, outcome))
        if event := _FAILED.get(outcome.outcome):
            _log.warning(event, **_said(outcome, attempt.destination))

    def count(self) -> None:
        """All that were noted."""
        by_kind: defaultdict[tuple[str, str, str, str], int] = defaultdict(int)
        by_channel: defaultdict[str, list[float]] = defaultdict(list)
        for _ in range(len(self._made)):
            destination, outcome = self._made.popleft()
            channel = channel_of(destination) or HANDLER
            by_kind[channel, outcome.outcome, outcome.code or outcome.outcome, self._label(destination)] += 1
            if outcome.outcome != "postponed":
                by_channel[channel].append(outcome.seconds)
        for kind, count in by_kind.items():
            ATTEMPTS.labels(*kind).inc(count)
        for channel, seconds_each in by_channel.items():
            _seconds(channel).observe_all(seconds_each)

    def _label(self, destination: str | None) -> str:
        if self._named is None or destination is None:
            return ""
        if len(self._named) < MOST_NAMED:
            self._named.add(destination)
        return destination if destination in self._named else OTHERS


def note_claimed(attempts: Sequence[Attempt]) -> None:
    """These were won."""
    CLAIMED.inc(len(attempts))
    ADOPTED.inc(sum(one.request.version is None and one.number == 1 for one in attempts))
    RETRIES.inc(sum(one.number - one.uncounted > 1 for one in attempts))


def note_late(outcomes: Sequence[Outcome]) -> None:
    """These are in the log, and changed nothing."""
    LATE.inc(len(outcomes))
    for outcome in outcomes:
        _log.warning("outcome_late", outcome=outcome.outcome, **_said(outcome, outcome.destination))


def _said(outcome: Outcome, destination: str | None) -> dict[str, object]:
    about = {"id": str(outcome.id), "destination": destination, "code": outcome.code, "attempt": outcome.attempt}
    return {**about, "milliseconds": round(1000 * outcome.seconds, 1)}


@cache
def _seconds(channel: str) -> Spread:
    return ATTEMPT_SECONDS.labels(channel)
