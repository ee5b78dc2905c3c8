"""The id of a message that another producer wrote: the same record always gets the same id.

It is a UUIDv7, because the tables are partitioned by its first 48 bits, the milliseconds.
"""

import hashlib
from datetime import UTC, datetime
from uuid import UUID

VERSION = 7  # of UUIDs that begin with a date
EARLIEST = int(datetime(2020, 1, 1, tzinfo=UTC).timestamp() * 1000)  # what is older comes from a broken clock


def adoption_id(identity: tuple[str | bytes | int, ...], *, timestamp: int) -> UUID:
    """A UUIDv7 from the record's time, in milliseconds since 1970, and whatever identifies it.

    `timestamp` must be part of what makes the record the same, as it is for a redelivery.
    """
    digest = int.from_bytes(_digest(identity)[:10])
    return UUID(int=timestamp << 80 | VERSION << 76 | (digest >> 64 & 0xFFF) << 64 | 2 << 62 | digest & (1 << 62) - 1)


def milliseconds_of(stream: UUID) -> int:
    """Its date, since 1970; -1 where it is no UUIDv7, and Herald cannot have made it."""
    return stream.int >> 80 if stream.int >> 76 & 0xF == VERSION else -1


def _digest(identity: tuple[str | bytes | int, ...]) -> bytes:
    digest = hashlib.sha256()
    for part in identity:
        encoded = part if isinstance(part, bytes) else str(part).encode()
        digest.update(len(encoded).to_bytes(8))  # so that ("a", "bc") and ("ab", "c") differ
        digest.update(encoded)
    return digest.digest()
