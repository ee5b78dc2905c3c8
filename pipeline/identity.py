"""The id of a message that another producer wrote: the same record always gets the same id.

It is a UUIDv7, because the tables are partitioned by its first 48 bits, the milliseconds.
"""

import hashlib
from datetime import UTC, datetime, timedelta
from uuid import UUID

EARLIEST = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1000)
SKEW = int(timedelta(days=1).total_seconds() * 1000)  # ms a producer's clock may be ahead


def adoption_id(identity: tuple[str | bytes | int, ...], *, timestamp: int, now: int) -> UUID:
    """A UUIDv7 from the record's time and whatever identifies it; times in milliseconds since 1970.

    A time before 2020 or more than a day ahead becomes 0: the first partition takes any age, and
    a producer's broken clock must not need partitions of the year 5000. `timestamp` must be part
    of what makes the record the same, as it is for a redelivery.
    """
    milliseconds = timestamp if EARLIEST <= timestamp <= now + SKEW else 0
    digest = int.from_bytes(_digest(identity)[:10])
    return UUID(int=milliseconds << 80 | 7 << 76 | (digest >> 64 & 0xFFF) << 64 | 2 << 62 | digest & (1 << 62) - 1)


def is_plausible(stream: UUID, *, now: int) -> bool:
    """Whether Herald could have made this id: one from the far future would find no partition."""
    return stream.int >> 76 & 0xF == 7 and stream.int >> 80 <= now + SKEW  # noqa: PLR2004 - version 7, milliseconds


def _digest(identity: tuple[str | bytes | int, ...]) -> bytes:
    digest = hashlib.sha256()
    for part in identity:
        encoded = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(encoded).to_bytes(8))  # so that ("a", "bc") and ("ab", "c") differ
        digest.update(encoded)
    return digest.digest()
