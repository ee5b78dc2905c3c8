"""When what is known to have failed is tried again: how long one waits, and how often.

Attempts are counted, not time: while no pipeline runs, Kafka is away, or a breaker spares the message,
nothing is used up. A message therefore counts from when a pipeline could first try it, and an outage of
Herald itself ends none. The defaults last about a day. On a strict topic, where a failed message holds
back those after it of its key, they last an hour or two.
"""

import msgspec

MOST_RETRY_AFTER = 86_400.0  # seconds; who asks for more is asked again after a day
_LARGEST = 60  # exponent: 2.0 ** 1024 overflows


class Retries(msgspec.Struct, frozen=True):
    """`attempts` in all. Before the second one waits `base` seconds at most, then twice as long each, up to `cap`."""

    base: float
    cap: float
    attempts: int

    def bounds(self, attempt: int) -> tuple[float, float]:
        """The least and the most seconds between this attempt, counted from 1, and the next.

        The wait is drawn anew each time, so that what failed together is not tried again together. Half of it
        is certain: with waits from zero on, many attempts could fall into the time that a provider asked for.
        """
        longest = min(self.cap, self.base * 2.0 ** min(attempt - 1, _LARGEST))
        return longest / 2, longest

    def after(self, attempt: int) -> tuple[float, float]:
        """The least and the most seconds from the first attempt until this one, if every one before fails at once."""
        waits = [self.bounds(one) for one in range(1, attempt)]
        return sum(least for least, _ in waits), sum(most for _, most in waits)
