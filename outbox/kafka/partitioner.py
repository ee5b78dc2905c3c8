"""Which partition a key belongs to: murmur2, as Java clients, Quix and librdkafka's `murmur2_random` choose it.

https://kafka.apache.org/documentation/ (DefaultPartitioner); a test compares it with the client itself. It is slow
beside the client's own: to be asked while some partitions have to be told apart, not for every record.
"""

_WORD = 0xFFFFFFFF
_SEED = 0x9747B28C
_MIX = 0x5BD1E995
_POSITIVE = 0x7FFFFFFF


def partition_of(key: bytes, partitions: int) -> int:
    """The partition, from 0, of a topic that has so many; a record without a key has no partition of its own."""
    return (murmur2(key) & _POSITIVE) % partitions


def murmur2(data: bytes) -> int:
    """The 32 bits of the hash, unsigned."""
    whole = len(data) & ~3
    mixed = _SEED ^ len(data)
    for start in range(0, whole, 4):
        word = int.from_bytes(data[start : start + 4], "little") * _MIX & _WORD
        word = (word ^ word >> 24) * _MIX & _WORD
        mixed = mixed * _MIX & _WORD ^ word
    if rest := data[whole:]:
        mixed = (mixed ^ int.from_bytes(rest, "little")) * _MIX & _WORD
    mixed = (mixed ^ mixed >> 13) * _MIX & _WORD
    return mixed ^ mixed >> 15
