"""What a check is, what it finds, and what to do about it."""

from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, TypeVar

Level = Literal["ok", "note", "warning", "problem"]
Subject = TypeVar("Subject")

TROUBLE: tuple[Level, ...] = ("warning", "problem")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was measured, in a sentence; `advice` is a command, a statement of SQL or a sentence.

    A note is worth knowing, a warning will become a problem, a problem is one now.
    """

    level: Level
    text: str
    advice: str | None = None


# A check looks at one subject. What it yields are its findings; what it returns is how things are where it yields none.
Check = Callable[[Subject], Iterator[Finding]]
Checks = Mapping[str, Check[Subject]]  # by their names
Look = Generator[Finding, None, str]


class UntoldError(Exception):
    """A server does not tell what a check looks at; the text says which server."""


def findings_of(look: Iterator[Finding]) -> list[Finding]:
    """Everything that a check finds: where it yields nothing, what it returns is as it should be."""
    found: list[Finding] = []
    while True:
        try:
            found.append(next(look))
        except StopIteration as end:
            return found or ([ok(end.value)] if end.value else [])


def ok(text: str) -> Finding:
    """As it should be."""
    return Finding("ok", text)


def note(text: str, advice: str | None = None) -> Finding:
    """Worth knowing; nothing has to be done."""
    return Finding("note", text, advice)


def warning(text: str, advice: str) -> Finding:
    """Works, and will not for ever."""
    return Finding("warning", text, advice)


def problem(text: str, advice: str) -> Finding:
    """Does not work, or loses something."""
    return Finding("problem", text, advice)
