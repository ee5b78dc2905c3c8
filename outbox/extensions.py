"""What a user's own packages add to the registry, and how what stands there is loaded.

They say it by entry points (`herald.topics`, `herald.channels`, `herald.tasks`), or by tables like those of the
registry in a module that HERALD_EXTENSIONS names. Entry points are found without an import: only who uses a topic, a
channel or a task imports its module, when it starts. What is broken stops that start, with its name and traceback.
"""

import re
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import reduce
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from herald.outbox.registry import CHANNELS, DEAD_LETTERS, OWNER_TOPIC, TASKS, TOPICS

HERALD = "herald"
VARIABLE = "HERALD_EXTENSIONS"
_PLACE = re.compile(r"[A-Za-z_][\w.]*(:[A-Za-z_][\w.]*)?")


class ExtensionError(Exception):
    """An extension is broken; the text names it and where it is from, and has the traceback of what it raised."""


@dataclass(frozen=True, eq=False)
class Kind:
    """What can be added; `member` is what a module's own is called, `has` what it must have to be one."""

    what: str
    places: dict[str, str]
    member: str
    has: tuple[str, ...]
    form: str = r"(?!.*__)[a-z][a-z0-9_-]{0,62}"
    says: str = "1 to 63 of a-z, 0-9, _ and -, from a letter on and without __"
    reserved: tuple[str, ...] = ()

    @property
    def group(self) -> str:
        """Of entry points."""
        return f"herald.{self.what}s"

    @property
    def table(self) -> str:
        """In a module that HERALD_EXTENSIONS names."""
        return f"{self.what.upper()}S"


TOPIC = Kind(
    "topic",
    TOPICS,
    "topic",
    has=("data", "handle", "draft", "key", "dates", "check"),
    form=r"(?!__|\.{1,2}$)[A-Za-z0-9._-]{1,249}",
    says="1 to 249 of A-Z, a-z, 0-9, ., _ and -, and does not begin with __",
    reserved=(DEAD_LETTERS, OWNER_TOPIC),
)
CHANNEL = Kind("channel", CHANNELS, "make_channel", has=("__call__",))
TASK = Kind("task", TASKS, "task", has=("every", "run"))
KINDS = (TOPIC, CHANNEL, TASK)

ORIGINS: dict[tuple[str, str], str] = {}


def origin(kind: Kind, name: str) -> str:
    """Who has it: `herald`, a package with its version, or HERALD_EXTENSIONS=module."""
    return ORIGINS.get((kind.what, name), HERALD)


def added() -> list[tuple[Kind, str]]:
    """What does not come with Herald."""
    return [(kind, name) for kind in KINDS for name in kind.places if origin(kind, name) != HERALD]


def extend(modules: Iterable[str]) -> None:
    """Add to the registry what is installed and what these modules say; twice is once. Raises ExtensionError."""
    installed = entry_points()  # all are read for one group, too
    for kind in KINDS:
        for entry in installed.select(group=kind.group):
            by = f"{entry.dist.name} {entry.dist.version}" if entry.dist else "an installed package"
            _add(kind, entry.name, entry.value, by)
    for module in modules:
        for kind, places in _tables(module).items():
            for name, place in places.items():
                _add(kind, name, place, f"{VARIABLE}={module}")


def load(kind: Kind, name: str) -> Any:  # noqa: ANN401 - what the registry leads to
    """Import what stands under that name. Raises ExtensionError."""
    module, _, member = kind.places[name].partition(":")
    with blamed(kind, name, "cannot be loaded"):
        found = reduce(getattr, (member or kind.member).split("."), import_module(module))
    require(kind, name, found, kind.has)
    return found


def require(kind: Kind, name: str, found: object, members: Iterable[str]) -> None:
    """Raise ExtensionError where it lacks some of these."""
    if lacking := [member for member in members if not hasattr(found, member)]:
        problem = f"is no {kind.what}, but {type(found).__name__}: it lacks {', '.join(lacking)}"
        raise ExtensionError(f"{_described(kind, name)} {problem}")


@contextmanager
def blamed(kind: Kind, name: str, problem: str, *passed: type[Exception]) -> Iterator[None]:
    """Whatever the block raises, but for what is `passed`, becomes an ExtensionError with its traceback."""
    try:
        yield
    except passed:
        raise
    except (Exception, SystemExit) as error:
        raise ExtensionError(f"{_described(kind, name)} {problem}:\n{_told(error)}") from error


def _described(kind: Kind, name: str) -> str:
    return f"the {kind.what} {name} ({kind.places[name]}, of {origin(kind, name)})"


def _told(error: BaseException) -> str:
    return "".join(traceback.format_exception(error)).rstrip()


def _tables(module: str) -> dict[Kind, Mapping[str, str]]:
    try:
        found = import_module(module)
    except (Exception, SystemExit) as error:
        raise ExtensionError(f"{VARIABLE}: {module} cannot be imported:\n{_told(error)}") from error
    tables = {kind: getattr(found, kind.table) for kind in KINDS if hasattr(found, kind.table)}
    if not tables:
        raise ExtensionError(f"{VARIABLE}: {module} has none of {', '.join(kind.table for kind in KINDS)}")
    for kind, places in tables.items():
        if not isinstance(places, Mapping) or not all(isinstance(one, str) for pair in places.items() for one in pair):
            raise ExtensionError(f"{VARIABLE}: {module}.{kind.table} must have names and places, both as text")
    return tables


def _add(kind: Kind, name: str, place: str, by: str) -> None:
    there = f"the {kind.what} {name} ({place}, of {by})"
    if not re.fullmatch(kind.form, name):
        raise ExtensionError(f"{there}: its name must be {kind.says}")
    if name in kind.reserved:
        raise ExtensionError(f"{there}: the name is Herald's own")
    if not _PLACE.fullmatch(place):
        raise ExtensionError(f"{there}: must lead to package.module, or to package.module:name")
    if kind.places.get(name, place) != place:
        raise ExtensionError(f"{there} is also {kind.places[name]}, of {origin(kind, name)}: rename one of the two")
    if name not in kind.places:
        kind.places[name] = place
        ORIGINS[kind.what, name] = by
