"""What a check is, what it finds, and what becomes of one that is not answered."""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Literal, TypeVar

from confluent_kafka import KafkaError, KafkaException

from herald.outbox.kafka.clients import code, explanation, own_code
from herald.outbox.operate.doctor.database import Database
from herald.outbox.postgres.connections import reason
from herald.outbox.postgres.driver import PostgresError

Level = Literal["ok", "note", "warning", "problem"]
Subject = TypeVar("Subject")

TROUBLE: tuple[Level, ...] = ("warning", "problem")
UNSUPPORTED = {own_code("UNSUPPORTED_FEATURE"), KafkaError.UNSUPPORTED_VERSION}
REFUSED = {
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.GROUP_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
}


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured, in a sentence; `advice` is a command, a statement of SQL or a sentence.

    A note is worth knowing, a warning will become a problem, a problem is one now.
    """

    level: Level
    text: str
    advice: str | None = None


ok: Callable[[str], Finding] = partial(Finding, "ok")
note = partial(Finding, "note")
warning: Callable[[str, str], Finding] = partial(Finding, "warning")  # never without an advice
problem: Callable[[str, str], Finding] = partial(Finding, "problem")

# A check looks at one subject. What it yields are its findings; what it returns is how things are where it yields none.
Check = Callable[[Subject], Iterator[Finding]]
Checks = Mapping[str, Check[Subject]]  # by their names
Look = Generator[Finding, None, str]
Told = tuple[str, str, Finding]  # a family of checks, one of them, and what it says


class UntoldError(Exception):
    """A server does not tell what a check looks at; the text says which server."""


def run(family: str, checks: Checks[Subject], subject: Subject) -> Iterator[Told]:
    """Every finding of these checks; a check that is not answered becomes one."""
    for name, check in checks.items():
        for finding in _findings_of(check, subject):
            yield family, name, finding


def _findings_of(check: Check[Subject], subject: Subject) -> list[Finding]:
    look, found = check(subject), []
    try:
        while True:
            found.append(next(look))
    except StopIteration as end:
        return found or ([ok(end.value)] if end.value else [])
    except PostgresError as error:
        if isinstance(subject, Database) and subject.connection.closed:
            raise
        return [note(f"not told: {reason(error)}")]
    except UntoldError as error:
        return [note(str(error))]
    except KafkaException as error:
        return [_untold(error)]


def _untold(error: KafkaException) -> Finding:
    number, said = code(error), explanation(error)
    if number in UNSUPPORTED:
        return note(f"not told by this broker: {said}")
    if number in REFUSED:
        return warning(f"not allowed to ask: {said}", "docs/operating.md says what Herald must be allowed to do.")
    return warning(f"no answer: {said}", "Run it again; if it stays, see the brokers' logs.")
