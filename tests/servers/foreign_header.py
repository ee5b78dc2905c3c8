"""A record whose header has a name that is no UTF-8, as Kafka allows and Python's client cannot write.

librdkafka itself is called, as it comes with the client.
"""

import ctypes
from pathlib import Path
from typing import Any

import confluent_kafka

_TIMEOUT = 10_000  # milliseconds
_ERROR = 512  # bytes for the text of an error
_PRODUCER = 0
_TOPIC, _PARTITION, _VALUE, _HEADERS = 1, 3, 4, 10  # rd_kafka_vtype_t


class _Memory(ctypes.Structure):
    _fields_ = (("ptr", ctypes.c_char_p), ("size", ctypes.c_size_t))


class _Content(ctypes.Union):
    _fields_ = (
        ("text", ctypes.c_char_p),
        ("number", ctypes.c_int32),
        ("memory", _Memory),
        ("pointer", ctypes.c_void_p),
        ("room", ctypes.c_char * 64),
    )


class _Argument(ctypes.Structure):
    _fields_ = (("kind", ctypes.c_int), ("content", _Content))


def publish_with_header(broker: str, topic: str, value: bytes, name: bytes, content: bytes) -> None:
    """Put one record on the topic's first partition; returns when the broker has it."""
    kafka = _library()
    error = ctypes.create_string_buffer(_ERROR)
    configured = kafka.rd_kafka_conf_new()
    kafka.rd_kafka_conf_set(configured, b"bootstrap.servers", broker.encode(), error, _ERROR)
    producer = kafka.rd_kafka_new(_PRODUCER, configured, error, _ERROR)
    assert producer, error.value
    headers = kafka.rd_kafka_headers_new(1)
    kafka.rd_kafka_header_add(headers, name, len(name), content, len(content))
    arguments = (_Argument * 4)(
        _Argument(_TOPIC, _Content(text=topic.encode())),
        _Argument(_PARTITION, _Content(number=0)),
        _Argument(_VALUE, _Content(memory=_Memory(value, len(value)))),
        _Argument(_HEADERS, _Content(pointer=headers)),
    )
    refused = kafka.rd_kafka_produceva(producer, arguments, len(arguments))
    assert not refused, "librdkafka refused the record"
    assert kafka.rd_kafka_flush(producer, _TIMEOUT) == 0, "the broker did not take the record"
    kafka.rd_kafka_destroy(producer)


def _library() -> ctypes.CDLL:
    folder = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    found = ctypes.CDLL(str(next(folder.glob("librdkafka-*.so*"))))
    pointer, text, size, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_size_t, ctypes.c_int
    signatures: dict[str, tuple[Any, list[Any]]] = {
        "rd_kafka_conf_new": (pointer, []),
        "rd_kafka_conf_set": (number, [pointer, text, text, text, size]),
        "rd_kafka_new": (pointer, [number, pointer, text, size]),
        "rd_kafka_headers_new": (pointer, [size]),
        "rd_kafka_header_add": (number, [pointer, text, ctypes.c_ssize_t, text, ctypes.c_ssize_t]),
        "rd_kafka_produceva": (pointer, [pointer, pointer, size]),
        "rd_kafka_flush": (number, [pointer, number]),
        "rd_kafka_destroy": (None, [pointer]),
    }
    for name, (result, arguments) in signatures.items():
        function = getattr(found, name)
        function.restype, function.argtypes = result, arguments
    return found
