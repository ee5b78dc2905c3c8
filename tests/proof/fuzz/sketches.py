"""Requests that the document allows, drawn by a seed, and the same with one or more of their values replaced."""

import json
import re
from base64 import urlsafe_b64encode
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from random import Random
from typing import Any
from uuid import UUID

KEY, TRACE = "idempotency-key", "traceparent"
WITHOUT_BODY = frozenset({"GET", "DELETE", "HEAD", "OPTIONS"})
TEXTS = (
    "",
    " ",
    "1",
    "null",
    "true",
    "\0",
    "ü€😀",
    "\ud800",
    "a\tb",
    "a\r\nBcc: x@example.com",
    "=?UTF-8?Q?=0A?=",
    "=?utf-8?b?" + "PT8" * 80 + "?=",
    "x" * 256,
    "x" * 70_000,
    "{}",
    "' OR 1=1 --",
    "%s %(a)s",
    "\u202e\u2028\u2029",
    "../../etc/passwd",
    '"' * 9,
)
DATES = (
    "0250-05-04T14:44:08.5772-23:35",
    "2026-12-01T10:00:00+23:59",
    "2026-12-01T10:00:00+24:00",
    "2026-12-01T10:00:00+99:99",
    "2026-12-31T23:59:60Z",
    "9999-12-31T23:59:59.999999-15:59",
    "0001-01-01T00:00:00+15:59",
    "0000-01-01T00:00:00Z",
    "2026-02-30T00:00:00Z",
    "2027-01-01T00:00:00.1234567890123456789Z",
    "2027-01-01t00:00:00z",
    "2027-01-01",
    "20270101T000000Z",
    "2027-W01-1T00:00:00Z",
    "infinity",
    "-infinity",
    "now",
    "1e9",
    "\u0662\u0660\u0662\u0667-\u0660\u0661-\u0660\u0661T00:00:00Z",  # digits of another script
)
NUMBERS = (
    *("0", "-0", "-1", "0.1", "5.0", "1e2", "1e400", "1E-400", "1e-99999", "1e131071", "1e131072", "1e999999999"),
    *("9" * 255, "9" * 256, "9" * 5000, "-" + "9" * 255, "2147483648", "9223372036854775808", "18446744073709551616"),
    *("NaN", "Infinity", "01", "1.", ".5", "+1", "0x10", "1_000"),
)
ADDRESSES = (
    "https://[::1]/",
    "http://0x7f.1/",
    "https://user:pw@example.com/",
    "https://example.com:99999/",
    "file:///etc/passwd",
    "a@b, c@d",
    '"a b"@example.com',
    "a@" + "b." * 200 + "c",
)
IDS = ("all", "%00", "%ff", "%ed%a0%80", "..%2f..", "topic:nope", "{}", "x" * 300, "0" * 36, "a;b=c", "%")
_NUMBER = re.compile(rb'"<number (\d+)>"')


@dataclass
class Model:
    """One operation of the document: `queries` are schemas by name, `bodies` are examples."""

    method: str
    path: str
    queries: dict[str, dict[str, Any]]
    bodies: list[Any]
    is_keyed: bool


@dataclass
class Sketch:
    """A request before it is bytes; `target` is its path, still without the query."""

    method: str
    target: str
    query: list[tuple[str, str]] = field(default_factory=list)
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: Any = None

    @property
    def content(self) -> bytes:
        """The body as JSON, with the numbers that Python would not write."""
        if self.body is None:
            return b""
        raw = json.dumps(self.body, ensure_ascii=False).encode("utf-8", "surrogatepass")
        return _NUMBER.sub(lambda found: NUMBERS[int(found[1])].encode(), raw)


def models_of(document: dict[str, Any]) -> list[Model]:
    """What the document describes."""
    return [
        _model(path, method.upper(), operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


def _model(path: str, method: str, operation: dict[str, Any]) -> Model:
    parameters = operation.get("parameters", [])
    content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return Model(
        method,
        path,
        {one["name"]: one["schema"] for one in parameters if one["in"] == "query"},
        [example["value"] for example in content.get("examples", {}).values()],
        any(one["name"].lower() == KEY for one in parameters),
    )


def right(draw: Random, model: Model, ids: Sequence[str]) -> Sketch:
    """One that the document allows, though what it names may not be there; `ids` are of messages that are."""
    one = draw.choice(ids) if draw.random() < 0.9 else str(UUID(int=draw.getrandbits(128)))
    what = draw.choice(("all", "topic:notifications", "channel:log"))
    sketch = Sketch(model.method, model.path.replace("{id}", one).replace("{what}", what))
    sketch.query = [
        (name, _fitting(draw, name, schema, ids)) for name, schema in model.queries.items() if draw.random() < 0.3
    ]
    if model.bodies:
        sketch.body = deepcopy(draw.choice(model.bodies))
        sketch.headers.append(("content-type", "application/json"))
    if model.is_keyed and draw.random() < 0.3:
        sketch.headers.append((KEY, str(UUID(int=draw.getrandbits(128)))))
    if draw.random() < 0.1:
        sketch.headers.append((TRACE, f"00-{draw.getrandbits(128) | 1:032x}-{draw.getrandbits(64) | 1:016x}-01"))
    return sketch


def _fitting(draw: Random, name: str, schema: dict[str, Any], ids: Sequence[str]) -> str:
    if name == "cursor":
        return urlsafe_b64encode(UUID(draw.choice(ids)).bytes).decode().rstrip("=")
    if "enum" in schema:
        return str(draw.choice(schema["enum"]))
    if schema.get("type") == "integer":
        return str(draw.choice((1, 2, 20, 100)))
    if schema.get("format") == "date-time":
        return "2026-11-01T10:00:00+01:00"
    return draw.choice(("42", "order.shipped", "generic_topic", "log"))


def spoil(draw: Random, sketch: Sketch) -> None:
    """Replace a value by one that nobody expects, wherever there is one."""
    spoilers: list[Callable[[Random, Sketch], None]] = [_spoil_path, _spoil_query, _spoil_header]
    spoilers += [_spoil_body] * 6 if sketch.body is not None else []
    draw.choice(spoilers)(draw, sketch)


def _spoil_path(draw: Random, sketch: Sketch) -> None:
    parts = sketch.target.split("/")
    place = draw.randrange(1, len(parts))
    parts[place] = draw.choice(IDS) if draw.random() < 0.7 else _escaped(_text(draw))
    sketch.target = "/".join(parts)


def _spoil_query(draw: Random, sketch: Sketch) -> None:
    if draw.random() < 0.1:
        sketch.query += [(f"p{number}", "1") for number in range(draw.choice((20, 200, 2000)))]
        return
    names = [name for name, _ in sketch.query] or ["limit", "cursor", "status", "since", "user_id", "error", "nope"]
    value = draw.choice((*NUMBERS, *DATES)) if draw.random() < 0.5 else _text(draw)
    sketch.query.append((draw.choice(names), value))
    if draw.random() < 0.7:
        sketch.query = list(dict(sketch.query).items())


def _spoil_header(draw: Random, sketch: Sketch) -> None:
    value = draw.choice(("", '"', '"a', '"a\\"', '"\\x"', "k" * 256, "k" * 9000, "ü", "a\tb", " ", "\x7f", "k"))
    sketch.headers.append((draw.choice((KEY, KEY, TRACE, "content-type", "accept", "x-a")), value))
    if draw.random() < 0.3:
        sketch.headers.append(sketch.headers[-1])


def _spoil_body(draw: Random, sketch: Sketch) -> None:
    if draw.random() < 0.1:
        sketch.body = _odd(draw, 3)
        return
    holder, place = draw.choice(list(_places(sketch.body)) or [({}, "")])
    if draw.random() < 0.2 and isinstance(holder, dict):
        holder[draw.choice((_text(draw), "nope", "items", "deliver_at", "channel", "address", "user_ids"))] = _odd(draw)
    elif draw.random() < 0.1 and isinstance(holder, dict):
        holder.pop(place, None)
    else:
        holder[place] = _odd(draw)


def _places(value: Any) -> list[tuple[Any, Any]]:
    """Every container with every place in it; as deep as an earlier spoiler made it."""
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        one = waiting.pop()
        inside = one if isinstance(one, dict) else dict(enumerate(one)) if isinstance(one, list) else {}
        places += [(one, name) for name in inside]
        waiting += inside.values()
    return places


def _odd(draw: Random, depth: int = 2) -> Any:
    makers: list[Callable[[], Any]] = [
        lambda: _text(draw),
        lambda: _text(draw),
        lambda: draw.choice(DATES),
        lambda: f"<number {draw.randrange(len(NUMBERS))}>",
        lambda: f"<number {draw.randrange(len(NUMBERS))}>",
        lambda: draw.choice((None, True, False, draw.choice(ADDRESSES), "email", "webhook", "apprise")),
        lambda: _nested(draw),
    ]
    if depth:
        makers.append(lambda: [_odd(draw, depth - 1) for _ in range(draw.choice((0, 1, 3)))])
        makers.append(lambda: [draw.choice((1, "a"))] * 1001)
        makers.append(lambda: {_text(draw)[:300]: _odd(draw, depth - 1) for _ in range(draw.randrange(4))})
    return draw.choice(makers)()


def _nested(draw: Random) -> Any:
    found: Any = 1
    for _ in range(draw.choice((5, 31, 33, 300))):
        found = [found] if draw.random() < 0.5 else {"a": found}
    return found


def _text(draw: Random) -> str:
    if draw.random() < 0.7:
        return draw.choice(TEXTS)
    return "".join(chr(draw.randrange(1, 0xD7FF)) for _ in range(draw.randrange(1, 30)))


def _escaped(text: str) -> str:
    return "".join(f"%{byte:02x}" for byte in text.encode("utf-8", "surrogatepass"))


def target_of(sketch: Sketch) -> str:
    """Path and query as they stand in the first line."""
    query = "&".join(f"{_escaped(name)}={_escaped(value)}" for name, value in sketch.query)
    return sketch.target + (f"?{query}" if query else "")
