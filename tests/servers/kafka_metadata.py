"""Kafka's answer to Metadata, as a broker gives it that its controller has fenced: no brokers, nobody leads anything.

https://kafka.apache.org/protocol.html#The_Messages_Metadata, versions 4 to 12.
"""

import struct
from collections.abc import Callable
from typing import TypeVar

METADATA, API_VERSIONS = 3, 18
NEWEST = 12  # version of Metadata that is understood here
FLEXIBLE = 9  # first version with compact lengths and tagged fields
LEADER_NOT_AVAILABLE = 5
T = TypeVar("T")


class _Bytes:
    """Reads one answer and writes another beside it."""

    def __init__(self, data: bytes, *, is_flexible: bool) -> None:
        self._data, self.at, self._is_flexible = data, 0, is_flexible
        self.written = bytearray()

    def take(self, count: int) -> bytes:
        self.at += count
        return self._data[self.at - count : self.at]

    def number(self, form: str) -> int:
        (value,) = struct.unpack(f">{form}", self.take(struct.calcsize(f">{form}")))
        return int(value)

    def varint(self) -> int:
        value = shift = 0
        while True:
            (byte,) = self.take(1)
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    def length(self, form: str) -> int:
        return self.varint() - 1 if self._is_flexible else self.number(form)

    def text(self) -> bytes | None:
        length = self.length("h")
        return None if length < 0 else self.take(length)

    def many(self, read: Callable[[], T]) -> list[T]:
        return [read() for _ in range(self.length("i"))]

    def tags(self) -> None:
        if self._is_flexible:
            for _ in range(self.varint()):
                self.varint()
                self.take(self.varint())

    def put(self, form: str, *values: int) -> None:
        self.written += struct.pack(f">{form}", *values)

    def put_length(self, form: str, length: int) -> None:
        self.written += _varint(length + 1) if self._is_flexible else struct.pack(f">{form}", length)

    def put_text(self, text: bytes | None) -> None:
        self.put_length("h", -1 if text is None else len(text))
        self.written += text or b""

    def put_tags(self) -> None:
        if self._is_flexible:
            self.written += b"\0"


def _varint(value: int) -> bytes:
    made = bytearray()
    while value > 0x7F:
        made.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*made, value])


def fenced(answer: bytes, version: int, *, but: Callable[[str, int], bool] = lambda _topic, _partition: False) -> bytes:
    """The same answer without leaders, but for partitions of which `but` is true; without any, without brokers."""
    data = _Bytes(answer, is_flexible=version >= FLEXIBLE)
    data.written += data.take(4)  # correlation id
    data.tags()
    data.put_tags()
    data.written += data.take(4)  # throttle time
    brokers = data.many(lambda: _broker(data))
    cluster, controller = data.text(), data.number("i")
    topics = data.many(lambda: _topic(data, version))
    has_leaders = any(but(name.decode(), part[1]) for _, name, _, _, parts, _ in topics for part in parts if name)
    _put_brokers(data, brokers if has_leaders else [])
    data.put_text(cluster)
    data.put("i", controller if has_leaders else -1)
    data.put_length("i", len(topics))
    for topic in topics:
        _put_topic(data, version, topic, but)
    rest = data.take(len(answer))
    return bytes(data.written + rest)


Broker = tuple[int, bytes | None, int, bytes | None]
Part = tuple[int, int, int, int, list[int], list[int], list[int]]
Topic = tuple[int, bytes | None, bytes, int, list[Part], bytes]


def _broker(data: _Bytes) -> Broker:
    found = (data.number("i"), data.text(), data.number("i"), data.text())
    data.tags()
    return found


def _put_brokers(data: _Bytes, brokers: list[Broker]) -> None:
    data.put_length("i", len(brokers))
    for node, host, port, rack in brokers:
        data.put("i", node)
        data.put_text(host)
        data.put("i", port)
        data.put_text(rack)
        data.put_tags()


def _topic(data: _Bytes, version: int) -> Topic:
    error, name = data.number("h"), data.text()
    topic_id = data.take(16) if version >= 10 else b""
    is_internal = data.number("b")
    parts = data.many(lambda: _part(data, version))
    operations = data.take(4) if version >= 8 else b""
    data.tags()
    return error, name, topic_id, is_internal, parts, operations


def _part(data: _Bytes, version: int) -> Part:
    error, index, leader = data.number("h"), data.number("i"), data.number("i")
    epoch = data.number("i") if version >= 7 else -1

    def node() -> int:
        return data.number("i")

    replicas, in_sync = data.many(node), data.many(node)
    offline = data.many(node) if version >= 5 else []
    data.tags()
    return error, index, leader, epoch, replicas, in_sync, offline


def _put_topic(data: _Bytes, version: int, topic: Topic, but: Callable[[str, int], bool]) -> None:
    error, name, topic_id, is_internal, parts, operations = topic
    data.put("h", error)
    data.put_text(name)
    data.written += topic_id
    data.put("b", is_internal)
    data.put_length("i", len(parts))
    for part in parts:
        is_led = name is not None and but(name.decode(), part[1])
        _put_part(data, version, part if is_led else (LEADER_NOT_AVAILABLE, part[1], -1, part[3], part[4], [], part[4]))
    data.written += operations
    data.put_tags()


def _put_part(data: _Bytes, version: int, part: Part) -> None:
    error, index, leader, epoch, *nodes = part
    data.put("hii", error, index, leader)
    if version >= 7:
        data.put("i", epoch)
    for some in nodes if version >= 5 else nodes[:2]:
        data.put_length("i", len(some))
        data.put("i" * len(some), *some)
    data.put_tags()


def limited(answer: bytes, version: int) -> bytes:
    """The answer to ApiVersions, in which Metadata is offered up to the version that is understood here."""
    if answer[4:6] != b"\0\0":
        return answer  # a refusal of the version asked for
    flexible = version >= 3
    data = _Bytes(answer, is_flexible=flexible)
    data.take(6)
    patched = bytearray(answer)
    for _ in range(data.length("i")):
        key, _oldest, newest = data.number("h"), data.number("h"), data.number("h")
        if key == METADATA:
            struct.pack_into(">h", patched, data.at - 2, min(newest, NEWEST))
        data.tags()
    return bytes(patched)
