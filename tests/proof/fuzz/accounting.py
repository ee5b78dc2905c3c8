"""What every record came to: buried with a reason, adopted, or passed over where it looks like Herald's own.

It knows nothing of how the pipeline decides. It demands:

- No record is lost: one that names neither Herald as its source nor a message of Herald's is adopted or buried, and
  not both. Of several with one identity (`ce_id` and `ce_source`) one is adopted.
- One that names a message that Herald knows is never adopted.
- Nothing is adopted that nobody wrote, and nothing twice.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from herald.outbox.registry import DEAD_LETTERS
from tests.proof.fuzz.copies import Place
from tests.proof.fuzz.records import Forged

Fingerprint = tuple[Any, ...]


@dataclass
class Account:
    """How many records came to what, by kind; `wrong` are those for which nothing accounts, shortest first."""

    fates: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    wrong: list[str] = field(default_factory=list)

    def note(self, record: Forged, fate: str) -> None:
        self.fates[record.kind][fate] += 1

    def blame(self, record: Forged, why: str) -> None:
        self.note(record, "WRONG")
        self.wrong.append(f"{why}: {record.shown()}")
        self.wrong.sort(key=len)


@dataclass(frozen=True)
class Found:
    """What there is afterwards. `buried`: the reasons by place; `adopted`: topic and data of each; `known`: ids."""

    buried: Mapping[Place, str]
    adopted: list[tuple[str, str]]
    known: frozenset[str]
    source: str


def settle(forged: Mapping[Place, Forged], found: Found) -> Account:
    """Account for each record that Kafka took, and for all that was adopted."""
    account = Account()
    adopted = Counter(fingerprint(topic, data) for topic, data in found.adopted)
    strict, lenient = _parted(forged, found)
    for record in _without_any(lenient, found):
        account.blame(record, "none of its identity adopted")
    for record in forged.values():
        if record.topic == DEAD_LETTERS:
            account.note(record, "left alone")
    for place, record in strict:
        _settle_strictly(account, record, found.buried.get(place), adopted)
    for place, record in lenient:
        _settle_leniently(account, record, found.buried.get(place), adopted, found)
    account.wrong += [f"adopted and not written, {count} times: {one}" for one, count in adopted.items() if count > 0]
    return account


def _parted(
    forged: Mapping[Place, Forged], found: Found
) -> tuple[list[tuple[Place, Forged]], list[tuple[Place, Forged]]]:
    """Those that must be adopted or buried, and those that may be passed over: like Herald's, or written twice."""
    strict: list[tuple[Place, Forged]] = []
    lenient: list[tuple[Place, Forged]] = []
    times = Counter(_identity(record) for place, record in forged.items() if place not in found.buried)
    for place, record in forged.items():
        if record.topic == DEAD_LETTERS:
            continue
        identity = _identity(record)
        may_pass = looks_own(record, found) or (identity is not None and times[identity] > 1)
        (lenient if may_pass else strict).append((place, record))
    return strict, lenient


def _without_any(lenient: list[tuple[Place, Forged]], found: Found) -> Iterator[Forged]:
    """Those of one identity, written more than once: which of them is read first is open, but one is adopted."""
    adopted = {fingerprint(topic, data) for topic, data in found.adopted}
    groups: dict[Fingerprint, list[Forged]] = defaultdict(list)
    for place, record in lenient:
        identity = _identity(record)
        if identity is not None and place not in found.buried and not looks_own(record, found):
            groups[identity].append(record)
    for group in groups.values():
        if not any(fingerprint(record.topic, record.value) in adopted for record in group):
            yield group[0]


def _settle_strictly(account: Account, record: Forged, reason: str | None, adopted: Counter[Fingerprint]) -> None:
    print_ = fingerprint(record.topic, record.value)
    if reason is not None:
        account.note(record, "buried")
        if not reason:
            account.blame(record, "buried without a reason")
    elif adopted[print_] > 0:
        adopted[print_] -= 1
        account.note(record, "adopted")
    else:
        account.blame(record, "neither adopted nor buried")


def _settle_leniently(
    account: Account, record: Forged, reason: str | None, adopted: Counter[Fingerprint], found: Found
) -> None:
    print_ = fingerprint(record.topic, record.value)
    if reason is not None:
        account.note(record, "buried")
    elif adopted[print_] > 0 and names_known(record, found):
        adopted[print_] -= 1
        account.blame(record, "adopted, though it names a message that is known")
    elif adopted[print_] > 0:
        adopted[print_] -= 1
        account.note(record, "adopted")
    else:
        account.note(record, "passed over")


def looks_own(record: Forged, found: Found) -> bool:
    """Whether it says that a Herald wrote it, and names some message; or one that is known."""
    says_so = any(
        name == "ce_heraldinstance" or (name == "ce_source" and value == found.source.encode())
        for name, value in record.headers
    )
    return names_known(record, found) or (says_so and any(_named(record)))


def names_known(record: Forged, found: Found) -> bool:
    return any(one in found.known for one in _named(record))


def _named(record: Forged) -> Iterator[str]:
    """The ids in its headers."""
    for name, value in record.headers:
        if value and name in {"ce_subject", "ce_id"}:
            text = value.decode(errors="replace")
            for part in (text, text.rpartition(".")[0]):
                try:
                    yield str(UUID(part))
                except ValueError:
                    continue


def _identity(record: Forged) -> Fingerprint | None:
    """What its producer says that it is, on whatever topic: of a header that stands there twice the last counts."""
    named = {name: value for name, value in record.headers if name in {"ce_id", "ce_source"} and value is not None}
    return (named["ce_id"], named["ce_source"]) if len(named) == 2 else None


def fingerprint(topic: str, value: bytes | str | None) -> Fingerprint:
    """Equal for data that says the same, however it is spelled; of a notification only what makes it one."""
    try:
        text = value.decode() if isinstance(value, bytes) else value or ""
        number = str if topic == "notifications" else _number
        data = json.loads(text, parse_int=number, parse_float=number)
    except (ValueError, RecursionError):
        return topic, "not JSON"
    if topic == "notifications" and isinstance(data, dict):
        return topic, *(str(data.get(name)) for name in ("user_id", "event", "content"))
    return topic, json.dumps(data, sort_keys=True)


def _number(digits: str) -> float:
    return float(digits) + 0.0  # of the two zeros one
