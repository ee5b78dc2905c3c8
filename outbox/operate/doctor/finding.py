"""What a check finds, and what to do about it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

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


class UntoldError(Exception):
    """A server does not tell what a check looks at; the text says which server."""


@dataclass(frozen=True, slots=True)
class Check(Generic[Subject]):
    """A look at one thing; it may find several. What it is not told becomes a note."""

    name: str
    look: Callable[[Subject], Iterable[Finding]]


@dataclass(frozen=True, slots=True)
class Result:
    """A finding, with the family and the name of the check that made it."""

    family: str
    check: str
    finding: Finding


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
