"""Random and mutated HTTP requests, whole, in pieces, half and never ended: a seed makes the same ones again.

Most begin as one that the document allows; what is wrong about them then is a value, the protocol, some bytes, or that
their end does not come.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from tests.proof.fuzz.sketches import Model, Sketch, right, spoil, target_of

METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "PATCH", "OPTIONS", "BREW", "CONNECT", "TRACE")
PATHS = ("/", "/docs", "/docs/openapi.json", "/health/live", "/health/ready", "/docs/assets/..", "//", "/%2e%2e", "*")
DEEP = (1_000, 20_000, 200_000)  # levels of brackets
LARGE = 1_500_000  # bytes


# What is odd about a request, and how many of a hundred are so
KINDS = {"right": 30, "value": 40, "protocol": 10, "framing": 6, "bytes": 8, "noise": 2, "elsewhere": 2, "body": 2}


@dataclass(frozen=True)
class Forged:
    """The bytes of a request, how many of them are sent at once, whether its end is kept back, and of what kind."""

    sent: bytes
    piece: int
    is_half: bool
    kind: str


def forge(draw: Random, models: Sequence[Model], ids: Sequence[str]) -> Forged:
    """The next request; `ids` are of messages that there are."""
    kind, sent = _drawn(draw, models, ids)
    is_half = draw.random() < 0.08
    if is_half:
        sent = sent[: draw.randrange(len(sent))]
    piece = len(sent) if draw.random() < 0.85 else draw.randrange(1, 64)
    return Forged(sent, max(piece, len(sent) // 20, 1), is_half, "half" if is_half else kind)


def _drawn(draw: Random, models: Sequence[Model], ids: Sequence[str]) -> tuple[str, bytes]:
    (kind,) = draw.choices(list(KINDS), list(KINDS.values()))
    sketch = right(draw, draw.choice(models), ids)
    match kind:
        case "value":
            for _ in range(draw.choice((1, 1, 1, 2, 4))):
                spoil(draw, sketch)
        case "elsewhere":
            sketch.method, sketch.target = draw.choice(METHODS), draw.choice((*PATHS, sketch.target))
    makers: dict[str, Callable[[], bytes]] = {
        "protocol": lambda: _against_protocol(draw, sketch),
        "framing": lambda: _framed(draw, sketch),
        "bytes": lambda: _mutated(draw, _whole(sketch)),
        "noise": lambda: draw.randbytes(draw.randrange(1, 400)),
        "body": lambda: _broken(draw, sketch),
    }
    return kind, makers.get(kind, lambda: _whole(sketch))()


def _whole(sketch: Sketch, content: bytes | None = None) -> bytes:
    body = sketch.content if content is None else content
    return _head(sketch, ("content-length", str(len(body)))) + body


def _head(sketch: Sketch, *headers: tuple[str, str], version: str = "HTTP/1.1", host: str = "localhost") -> bytes:
    lines = [f"{sketch.method} {target_of(sketch)} {version}", f"Host: {host}"]
    lines += [f"{name}: {value}" for name, value in (*sketch.headers, *headers)]
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass")


def _against_protocol(draw: Random, sketch: Sketch) -> bytes:
    """First lines and headers as other clients, proxies and attackers send them."""
    length = ("content-length", str(len(sketch.content)))
    whole = _whole(sketch)
    if draw.random() < 0.3:
        return _head(sketch, length, version=draw.choice(("HTTP/1.0", "HTTP/2.0", "HTTP/0.9", "HTTP/1.9", "X"))) + (
            sketch.content
        )
    made: tuple[Callable[[], bytes], ...] = (
        lambda: whole.replace(b" /", b" http://x/", 1),
        lambda: whole.replace(b"Host: localhost\r\n", b"", 1),
        lambda: whole.replace(b"Host: localhost\r\n", b"Host: localhost\r\nHost: y\r\n", 1),
        lambda: whole.replace(
            b"Host: localhost", b"Host: " + draw.choice((b"", b"\xff", b"x" * 9000, b"x:99999", b"[::1", b"a b")), 1
        ),
        lambda: whole.replace(b"\r\n", b"\n"),
        lambda: whole.replace(b"Host: localhost\r\n", b"Host: localhost\r\nX-A: a\r\n  folded\r\n", 1),
        lambda: whole.replace(b"Host: localhost\r\n", b"Host: localhost\r\nX-A: a\0b\r\n", 1),
        lambda: whole.replace(b"Host: localhost\r\n", b"Host: localhost\r\nX A: b\r\n: c\r\n", 1),
        lambda: whole.replace(
            b"Host: localhost\r\n", b"Host: localhost\r\n" + b"X-A: b\r\n" * draw.choice((10, 100, 3000)), 1
        ),
        lambda: whole.replace(
            b"Host: localhost\r\n", b"Host: localhost\r\nUpgrade: websocket\r\nConnection: upgrade\r\n", 1
        ),
        lambda: whole.replace(
            b"Host: localhost\r\n", b"Host: localhost\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n", 1
        ),
        lambda: whole.replace(
            b"Host: localhost\r\n", b"Host: localhost\r\nConnection: close\r\nConnection: keep-alive\r\n", 1
        ),
        lambda: _head(sketch, length, ("expect", draw.choice(("100-continue", "200-ok")))) + sketch.content,
        lambda: b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + whole,
        lambda: whole * draw.choice((2, 16, 40)),
        lambda: whole.replace(b"content-type: application/json", b"content-type: " + draw.choice(_TYPES), 1),
        lambda: b"\r\n\r\n" + whole,
    )
    return draw.choice(made)()


_TYPES = (
    b"application/json; charset=utf-16",
    b"text/plain",
    b"application/problem+json",
    b"multipart/form-data; boundary=x",
    b"application/x-www-form-urlencoded",
    b"\xff",
    b"application/json" * 50,
)


def _framed(draw: Random, sketch: Sketch) -> bytes:
    """Lengths that contradict each other, and chunks."""
    body = sketch.content
    chunked = ("transfer-encoding", "chunked")
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if body else b""
    length = str(len(body))
    odd = draw.choice(("-1", "+5", "5, 5", "0x5", "", "9" * 40, "1e3", str(len(body) + 3), str(10**12), " "))
    made: tuple[Callable[[], bytes], ...] = (
        lambda: _head(sketch, chunked) + chunk + b"0\r\n\r\n",
        lambda: _head(sketch, chunked) + chunk + b"0\r\nX-Trailer: a\r\nContent-Length: 5\r\n\r\n",
        lambda: _head(sketch, chunked) + chunk + b"0\r\n" + b"X-Trailer: a\r\n" * 3000 + b"\r\n",
        lambda: _head(sketch, chunked) + b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in body[:400]) + b"0\r\n\r\n",
        lambda: (
            _head(sketch, chunked) + draw.choice((b"-1", b"zz", b"f" * 17, b"fffffffffffffff", b"")) + b"\r\n" + body
        ),
        lambda: _head(sketch, chunked, ("content-length", length)) + chunk + b"0\r\n\r\n",
        lambda: _head(sketch, ("content-length", length), ("content-length", str(len(body) + 1))) + body,
        lambda: _head(sketch, ("content-length", length), ("content-length", length)) + body,
        lambda: (
            _head(sketch, ("transfer-encoding", draw.choice(("gzip", "chunked, gzip", "identity", "xchunked")))) + chunk
        ),
        lambda: _head(sketch, ("content-length", odd)) + body,
        lambda: _head(sketch) + body,
        lambda: _head(sketch, ("content-encoding", "gzip"), ("content-length", length)) + body,
    )
    return draw.choice(made)()


def _broken(draw: Random, sketch: Sketch) -> bytes:
    """Bodies that are no JSON, or too much of it."""
    depth = draw.choice(DEEP)
    made = (
        lambda: b"[" * depth,
        lambda: b"[" * depth + b"]" * depth,
        lambda: b'{"a":' * depth + b"1" + b"}" * depth,
        lambda: b'{"user_id":"f","event":"e","content":"\xff\xfe"}',
        lambda: b'{"user_id":"f","event":"e","content":"\xed\xa0\x80"}',
        lambda: b'{"user_id":"f","event":"e","content":"\\ud800"}',
        lambda: b'{"user_id":"f","event":"e","content":"\\u0000"}',
        lambda: b'{"user_id":"f","user_id":"g","event":"e","content":"c"}',
        lambda: b"\xef\xbb\xbf" + sketch.content,
        lambda: sketch.content.decode("utf-8", "replace").encode("utf-16"),
        lambda: sketch.content + b"x",
        lambda: b'{"user_id":"f","event":"e","content":"' + b"x" * LARGE + b'"}',
        lambda: b'{"topic":"generic_topic","data":{"a":[' + b"1e9," * (LARGE // 40) + b"1]}}",
        lambda: b'{"items":[' + b",".join([b'{"user_id":"f","event":"e","content":"c"}'] * 1000) + b"]}",
        lambda: b'{"items":[' + b"{}," * 100_000 + b"{}]}",
        lambda: b" " * LARGE,
    )
    sketch.headers = [("content-type", "application/json")]
    sketch.method = "POST"
    return _whole(sketch, draw.choice(made)())


def _mutated(draw: Random, sent: bytes) -> bytes:
    changed = bytearray(sent)
    for _ in range(draw.randrange(1, 6)):
        changed[draw.randrange(len(changed))] = draw.randrange(256)
    return bytes(changed)
