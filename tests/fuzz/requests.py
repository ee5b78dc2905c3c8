"""Random and mutated HTTP requests, whole, in pieces, half and never ended: a seed makes the same ones again."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from uuid import UUID

PATHS = (
    "/notifications",
    "/notifications/bulk",
    "/messages",
    "/dead-letters",
    "/dead-letters/groups",
    "/dead-letters/requeues",
    "/dead-letters/discards",
    "/pauses",
    "/health/live",
    "/health/ready",
    "/docs/openapi.json",
)
BELOW = (
    "/notifications/{}",
    "/notifications/{}/events",
    "/notifications/{}/cancel",
    "/messages/{}",
    "/messages/{}/cancel",
)
DESK = ("/dead-letters/{}", "/dead-letters/{}/requeue", "/dead-letters/{}/discard", "/dead-letters/requeues/{}")
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "BREW")
QUERIES = (
    "limit",
    "cursor",
    "user_id",
    "event",
    "status",
    "since",
    "until",
    "topic",
    "channel",
    "error",
    "key",
    "nope",
)
TEXTS = (
    "1",
    "",
    "\0",
    "ü€😀",
    "a\tb",
    "a\r\nBcc: x@example.com",
    "=?UTF-8?Q?=0A?=",
    "x" * 300,
    "{}",
    "null",
    "' OR 1=1 --",
    "%s %(a)s",
    "0250-05-04T14:44:08.5772-23:35",
    "2026-12-01T10:00:00+23:59",
    "9999-12-31T23:59:59-15:59",
    "0001-01-01T00:00:00+15:59",
    "infinity",
)
NUMBERS = ("0", "-1", "1e400", "1E-400", "1e131071", "9" * 400, "0.1", "9223372036854775808", "NaN")
KEYS = (
    "user_id",
    "event",
    "content",
    "channel",
    "address",
    "subject",
    "deliver_at",
    "deliver_by",
    "priority",
    "user_ids",
)
WORDS = ("items", "topic", "data", "key", "filter", "dry_run", "rate", "reason", "since", "until", "nope")


@dataclass(frozen=True)
class Forged:
    """The bytes of a request, how many of them are sent at once, and whether its end is kept back."""

    sent: bytes
    piece: int
    is_half: bool


def forge(draw: Random) -> Forged:
    """The next request."""
    sent = _raw(draw) if draw.random() < 0.9 else draw.randbytes(draw.randrange(1, 400))
    if draw.random() < 0.2:
        sent = _mutated(sent, draw)
    is_half = draw.random() < 0.1
    kept = draw.randrange(len(sent)) if is_half else len(sent)
    piece = len(sent) if draw.random() < 0.8 else draw.randrange(1, 64)
    return Forged(sent[:kept], max(piece, len(sent) // 20, 1), is_half)


def _raw(draw: Random) -> bytes:
    body = _body(draw)
    head = [f"{_method(draw)} {_path(draw)} HTTP/{draw.choice(('1.1', '1.1', '1.1', '1.0', '2.0', '0.9'))}", "Host: x"]
    if draw.random() < 0.9:
        head.append(f"Content-Type: {draw.choice(('application/json', 'application/json', 'text/plain', 'a/b+json'))}")
    head += [_header(draw) for _ in range(draw.choice((0, 0, 1, 3, 50)))]
    if draw.random() < 0.2:
        return _encoded(head, "Transfer-Encoding: chunked") + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    length = len(body) if draw.random() < 0.9 else draw.choice((0, 5, -1, len(body) + 3, 10**12, 10**30))
    return _encoded(head, f"Content-Length: {length}") + body


def _encoded(head: list[str], last: str) -> bytes:
    return "\r\n".join([*head, last, "", ""]).encode("utf-8", "replace")


def _method(draw: Random) -> str:
    return "POST" if draw.random() < 0.5 else draw.choice(METHODS)


def _path(draw: Random) -> str:
    path = draw.choice((*PATHS, *BELOW, *DESK, "/pauses/{}", "/{}"))
    some = draw.choice(
        (str(UUID(int=draw.getrandbits(128))), "all", "%00", "%ff", "..%2f..", "topic:nope", "{}", "x" * 300)
    )
    query = "&".join(f"{draw.choice(QUERIES)}={_escaped(_text(draw))}" for _ in range(draw.choice((0, 0, 1, 2))))
    return path.replace("{}", some) + (f"?{query}" if query else "")


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


def _header(draw: Random) -> str:
    name = draw.choice(("Idempotency-Key", "traceparent", "tracestate", "X-A", "Expect", "Connection", "Content-Type"))
    value = draw.choice(
        ("100-continue", "close", "upgrade", "00-" + "a" * 32 + "-" + "b" * 16 + "-01", "x" * 2000, "k", "")
    )
    return f"{name}: {value}"


def _text(draw: Random) -> str:
    return draw.choice(TEXTS) if draw.random() < 0.7 else "".join(chr(draw.randrange(1, 0xD7FF)) for _ in range(9))


def _body(draw: Random) -> bytes:
    good = {"user_id": "f", "event": "e", "content": "c"}
    makers: tuple[Callable[[], object], ...] = (
        lambda: good | {draw.choice(KEYS): _value(draw, 2)},
        lambda: {"items": [good | {draw.choice(KEYS): _value(draw, 2)} for _ in range(draw.randrange(4))]},
        lambda: {"topic": draw.choice(("notifications", "generic_topic", "nope")), "data": _value(draw, 3)},
        lambda: {draw.choice((*KEYS, *WORDS)): _value(draw, 3) for _ in range(draw.randrange(6))},
        lambda: _value(draw, 4),
    )
    encoded = json.dumps(draw.choice(makers)(), ensure_ascii=draw.random() < 0.5).encode("utf-8", "surrogatepass")
    return encoded.replace(b'"<number>"', draw.choice(NUMBERS).encode())


def _value(draw: Random, depth: int) -> object:
    kind = draw.randrange(7 if depth else 5)
    simple = (None, draw.random() < 0.5, draw.randrange(-3, 12), _text(draw), "<number>")
    if kind < len(simple):
        return simple[kind]
    if kind == len(simple):
        return [_value(draw, depth - 1) for _ in range(draw.randrange(4))]
    return {draw.choice((*KEYS, *WORDS)): _value(draw, depth - 1) for _ in range(draw.randrange(4))}


def _mutated(sent: bytes, draw: Random) -> bytes:
    changed = bytearray(sent)
    for _ in range(draw.randrange(1, 6)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)
