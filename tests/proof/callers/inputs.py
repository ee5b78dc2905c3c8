"""Inputs for both doors: what a caller gives to HTTP, and the same as arguments of the functions in SQL."""

import json
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.proof.fuzz.sketches import ADDRESSES, DATES, NUMBERS, TEXTS
from tests.proof.fuzz.values import Draw

CHANNELS = ("log", "webhook", "email", "apprise")
RIGHT_ADDRESSES = {"webhook": "https://example.com/hook", "email": "Ada <ada@example.com>", "apprise": "team"}
SOON, LATER = '"2027-01-10T09:00:00Z"', '"2027-01-10 10:00:00.25+01:00"'  # a proof of years ago would find them passed
ODD_KINDS = ("null", "1", "[]", "{}", "true", '"\\u0000"', '"\\ud800"', '"\\ud83d\\ude00"', '"a\\u0085b"')
LONGEST = dict.fromkeys(("event", "content", "channel", "address", "subject", "key", "user_id"), 255)
LONGEST |= {"content": 1_000_000, "address": 2048}
DATED, OF_NOTIFY = ("deliver_at", "deliver_by", "priority"), ("channel", "address", "subject")
SEND = "SELECT herald.send(%s, %s, %s, %s)::text"
NOTIFY = "SELECT herald.notify(%s, %s, %s, %s)::text"
MANY = "SELECT herald.send_many(%s)::text"


class Call(NamedTuple):
    """A request: where to, its body, and its headers."""

    path: str
    body: str
    headers: dict[str, str]


@dataclass(frozen=True)
class Input:
    """`calls` over HTTP and `statement` in SQL ask for the same; each of several calls for its share."""

    form: str
    calls: tuple[Call, ...]
    statement: str
    values: tuple[Any, ...]
    may_be_undeliverable: bool = False

    def shown(self) -> str:
        return f"{self.statement} {str(self.values)[:600]}"


@dataclass
class Inputs:
    """Draws one after the other; a seed makes the same again. A key of idempotency is never drawn twice."""

    draw: Draw
    now: dict[str, str]  # dates near the present, as JSON, by what is expected of them
    number: int = 0
    _odds: int = field(default=0, init=False)

    def next(self) -> Input:
        self.number += 1
        self._odds = self.draw.choice((0, 1, 1, 1, 2, 3))
        kind = self.draw.randrange(10)
        if kind < 4:
            return self._send()
        if kind < 8:
            return self._notify(1)
        return self._notify(self.draw.choice((2, 3, 0))) if kind == 8 else self._many()

    def _send(self) -> Input:
        topic, key, data, options = self._message()
        more, headers = self._own()
        call = Call("/messages", _joined({"topic": _json(topic), "key": _json(key), "data": data, **options}), headers)
        return Input("send", (call,), SEND, (topic, data, key, _joined(options | more)), "address" in data)

    def _many(self) -> Input:
        calls, messages = [], []
        for _ in range(self.draw.choice((1, 1, 2, 3))):
            topic, key, data, options = self._message()
            fields = {"topic": _json(topic), "key": _json(key), "data": data}
            calls.append(Call("/messages", _joined({**fields, **options}), {}))
            messages.append(_joined({**fields, "options": _joined(options)}))
        return Input(
            "send_many", tuple(calls), MANY, (f"[{','.join(messages)}]",), any("address" in one for one in messages)
        )

    def _notify(self, users: int) -> Input:
        ids = [f"user {n}" for n in range(users)]
        if ids and self._is_odd():
            ids[-1] = self._any_text("user_id")
        words = {name: self._any_text(name) if self._is_odd() else "a word" for name in ("event", "content")}
        if words["event"] != "a word":
            self._odds = 0  # a mail's subject: of two faults HTTP names one, and a pipeline the other
        options = _at_once(self._target() | self._dates())
        more, headers = self._own()
        body = {name: _json(word) for name, word in words.items()} | options
        if users == 1:
            call = Call("/notifications", _joined({"user_id": _json(ids[0]), **body}), headers)
        else:
            items = _joined({"user_ids": json.dumps(ids), **body})
            call = Call("/notifications/bulk", f'{{"items": [{items}]}}', headers)
        values = (ids, words["event"], words["content"], _joined(options | more))
        return Input(f"notify {'one' if users == 1 else 'many'}", (call,), NOTIFY, values, "address" in options)

    def _message(self) -> tuple[str, str | None, str, dict[str, str]]:
        """Topic, key, data and options."""
        draw = self.draw
        if draw.one_in(2):
            topic = self._any_text("key") if draw.one_in(30) else "generic_topic"
            key = draw.choice((None, "customer", self._any_text("key") if self._is_odd() else "1"))
            return topic, key, self._data(), self._dates()
        fields = {
            "user_id": _json("ada"),
            "event": _json("e"),
            "content": _json("c"),
            **self._target(),
            **self._dates(),
        }
        while self._is_odd():
            name = draw.choice((*LONGEST, *DATED, "stray"))
            fields[name] = self._value(name)
            if draw.one_in(4):
                fields.pop(draw.choice(tuple(fields)))
        if fields.get("event") != _json("e"):
            fields = {name: value for name, value in fields.items() if name not in {"channel", "address"}}
        data = _joined(_at_once(fields))
        return "notifications", "ada" if draw.one_in(5) else None, data, self._dates() if draw.one_in(30) else {}

    def _data(self) -> str:
        draw = self.draw
        if not self._is_odd():
            return json.dumps({"number": self.number, "more": draw.json()})
        if draw.one_in(200):
            return json.dumps({"large": "x" * draw.choice((2_000_000, 2_097_100, 2_097_200))})
        depth = draw.choice((30, 31, 32))
        nested = '{"a":' * depth + "1" + "}" * depth
        raw = f'{{"a": {draw.choice(NUMBERS)}, "b": {self._value("stray")}}}'
        return draw.choice(
            (
                draw.json_text().decode(errors="replace"),
                raw,
                raw,
                nested,
                draw.mutated(raw.encode()).decode(errors="replace"),
            )
        )

    def _target(self) -> dict[str, str]:
        draw = self.draw
        if draw.one_in(3):
            return {}
        channel = draw.choice(CHANNELS)
        target = {"channel": _json(channel)}
        if channel != "log" and not draw.one_in(20):
            target["address"] = _json(draw.choice(ADDRESSES) if self._is_odd() else RIGHT_ADDRESSES[channel])
        if draw.one_in(3):
            target["subject"] = self._value("subject") if self._is_odd() else _json("Hello")
        return target

    def _dates(self) -> dict[str, str]:
        draw = self.draw
        if not draw.one_in(4):
            return {}
        if not self._is_odd():
            return draw.choice(({"deliver_at": SOON, "deliver_by": LATER}, {"priority": "7"}, {"deliver_by": LATER}))
        return {name: self._value(name) for name in DATED if draw.one_in(2)}

    def _own(self) -> tuple[dict[str, str], dict[str, str]]:
        """What is an option in SQL and a header over HTTP."""
        draw = self.draw
        if draw.one_in(12):
            key = draw.choice(
                (f"key {self.number}", f"{self.number}".ljust(255, "k"), f"{self.number}".ljust(256, "k"))
            )
            return {"idempotency_key": _json(key)}, {"idempotency-key": key}
        if draw.one_in(12):
            trace = draw.choice(
                (f"00-{draw.getrandbits(128) | 1:032x}-{1:016x}-01", "00-" + "0" * 32, "x" * 1001, "odd")
            )
            return {"traceparent": _json(trace)}, {"traceparent": trace}
        return {}, {}

    def _value(self, name: str) -> str:
        """An odd one, as JSON."""
        draw = self.draw
        if name in {"deliver_at", "deliver_by"}:
            return draw.choice(
                (_json(draw.choice(DATES)), draw.choice(tuple(self.now.values())), draw.choice(ODD_KINDS))
            )
        if name == "priority" or (name == "user_id" and draw.one_in(2)):
            return draw.choice((draw.choice(NUMBERS), str(draw.randrange(-1, 11)), '"5"', draw.choice(ODD_KINDS)))
        if name == "address" and draw.one_in(2):
            return _json(draw.choice(ADDRESSES))
        return draw.choice((_json(self._any_text(name)), draw.choice(ODD_KINDS)))

    def _any_text(self, name: str) -> str:
        """Without halves of surrogate pairs, which no driver sends."""
        longest = LONGEST.get(name, 255)
        if self.draw.one_in(4) and (longest < 10_000 or self.draw.one_in(40)):
            return self.draw.choice("xä") * self.draw.choice((longest, longest + 1))
        return self.draw.choice(TEXTS).encode(errors="replace").decode()

    def _is_odd(self) -> bool:
        if self._odds and self.draw.one_in(2):
            self._odds -= 1
            return True
        return False


def _at_once(fields: dict[str, str]) -> dict[str, str]:
    """What has a target of its own has no date: where it cannot be delivered, that has to be seen."""
    dates = {"deliver_at", "deliver_by"} if fields.keys() & set(OF_NOTIFY) else set()
    return {name: value for name, value in fields.items() if name not in dates}


def _json(value: str | None) -> str:
    return json.dumps(value)


def _joined(fields: dict[str, str]) -> str:
    return "{" + ", ".join(f"{_json(name)}: {value}" for name, value in fields.items()) + "}"
