"""Whose fault an error is that nobody foresaw: one item's, or everybody's.

What is written for many fails for many. It is narrowed by halves until single items fail alone, and such an item is
convicted only with a witness: another item of its kind that succeeded in the same narrowing, on the same connection,
or a probe, the same statement with known good data, rolled back. Without a witness nobody is at fault and everybody
waits: an outage. Errors that speak of the server, of rights or of the schema convict nobody at once, witness or not.
"""

from collections import defaultdict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import monotonic
from typing import Generic, TypeVar

from herald.outbox.postgres.commit import CommitUnknownError, NotReplicatedError
from herald.outbox.postgres.connections import is_data_error, is_outage, reason
from herald.outbox.postgres.driver import PostgresError

MOST_CONVICTIONS = 20  # with the same error, in `CONVICTION_SPAN`; more of one kind is no coincidence
CONVICTION_SPAN = 60.0  # seconds
TRIES = 3  # that one fails alone while others succeed, until it counts as at fault whatever the error says
TRY_PAUSE = 1.0  # seconds in between
# SQLSTATE classes that end no item at once, https://www.postgresql.org/docs/current/errcodes-appendix.html
CONVICTS_NOBODY = ("08", "25", "26", "40", "42", "53", "55", "57", "58", "XX")

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Suspect(Generic[Item]):
    """An item that failed alone, and how."""

    item: Item
    error: Exception


@dataclass(slots=True)
class Narrowed(Generic[Item, Result]):
    """What became of the items.

    `done`: what `act` returned for those that succeeded, in order. `convicted`: at fault, with a witness. `excused`:
    failed alone beside others that succeeded, by an error that convicts nobody at once.
    """

    done: list[Result] = field(default_factory=list)
    convicted: list[Suspect[Item]] = field(default_factory=list)
    excused: list[Suspect[Item]] = field(default_factory=list)


def narrow(
    items: Sequence[Item],
    act: Callable[[Sequence[Item]], Result],
    probe: Callable[[], object],
) -> Narrowed[Item, Result]:
    """Act on all of the items; those for whose sake it fails are found.

    `act` does everything or nothing and leaves its connection usable when it raises. `probe` does the same with known
    good data and undoes it; it is asked once, after the first failure. Raises the first error where it concerns
    everybody: the connection is gone, the probe fails too, or of several items that only the probe speaks for none
    succeeded, unless PostgreSQL says that the data is wrong.
    """
    try:
        return Narrowed(done=[act(items)])
    except Exception as error:
        if is_away(error) or not _succeeds(probe):
            raise
        first = error
    suspects: list[Suspect[Item]] = []
    done = _halve(items, act, first, suspects)
    found = Narrowed[Item, Result](done=done)
    for suspect in suspects:
        has_witness = bool(done) or len(items) == 1 or is_data_error(suspect.error)
        if not has_witness:
            raise first
        (found.excused if convicts_nobody(suspect.error) else found.convicted).append(suspect)
    return found


def insist(
    found: Narrowed[Item, Result],
    act: Callable[[Sequence[Item]], Result],
    probe: Callable[[], object],
    pause: Callable[[float], object],
) -> Narrowed[Item, Result]:
    """Try those that were excused again, alone, until each has failed three times: then it is convicted.

    Whatever the error is, each time `probe` has to succeed on the same connection; `pause` waits for so many seconds
    in between. Raises the error of one that fails without that witness.
    """
    done, suspects = list(found.done), found.excused
    for _ in range(TRIES - 1):
        if not suspects:
            break
        pause(TRY_PAUSE)
        still: list[Suspect[Item]] = []
        for suspect in suspects:
            try:
                done.append(act([suspect.item]))
            except Exception as error:
                if is_away(error) or not _succeeds(probe):
                    raise
                still.append(Suspect(suspect.item, error))
        suspects = still
    return Narrowed(done=done, convicted=found.convicted + suspects)


def is_away(error: BaseException) -> bool:
    """Whether the connection itself is gone, or it is not known what was committed: then nothing more is tried."""
    if isinstance(error, CommitUnknownError | NotReplicatedError):
        return True
    return is_outage(error) and (
        not isinstance(error, PostgresError) or error.pgcode is None or error.pgcode.startswith("57P")
    )


def convicts_nobody(error: BaseException) -> bool:
    """Whether the error speaks of the server, of rights, of the schema, of a missing partition or of what we lack."""
    if is_outage(error) or isinstance(error, MemoryError | OSError):
        return True
    return (
        isinstance(error, PostgresError)
        and (error.pgcode or "").startswith(CONVICTS_NOBODY)
        and not is_data_error(error)
    )


def text_of(error: BaseException) -> str:
    """What an item ends with: the error's own text, and its type where that is not PostgreSQL's."""
    if isinstance(error, PostgresError):
        return f"PostgreSQL refuses it: {reason(error)}"
    return f"{type(error).__name__}: {error}"


class Convictions:
    """Counts convictions by kind of error; above 20 a minute of one kind no more are allowed."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._by_kind: defaultdict[str, deque[float]] = defaultdict(deque)

    def allows(self, error: BaseException | str) -> bool:
        """Whether one more item may be ended for this kind of error, or for these words; counts it if so."""
        kind = error if isinstance(error, str) else kind_of(error)
        seen, now = self._by_kind[kind], self._clock()
        while seen and now - seen[0] > CONVICTION_SPAN:
            seen.popleft()
        if len(seen) >= MOST_CONVICTIONS:
            return False
        seen.append(now)
        return True


def kind_of(error: BaseException) -> str:
    """Errors of one kind share their SQLSTATE, or their type."""
    return (isinstance(error, PostgresError) and error.pgcode) or type(error).__name__


def _succeeds(probe: Callable[[], object]) -> bool:
    try:
        probe()
    except Exception:  # noqa: BLE001 - whatever it is: the known good data fails as well
        return False
    return True


def _halve(
    items: Sequence[Item],
    act: Callable[[Sequence[Item]], Result],
    error: Exception,
    suspects: list[Suspect[Item]],
) -> list[Result]:
    """What succeeded of items that failed together; those that fail alone go to `suspects`."""
    if len(items) == 1:
        suspects.append(Suspect(items[0], error))
        return []
    done: list[Result] = []
    middle = len(items) // 2
    for half in (items[:middle], items[middle:]):
        try:
            done.append(act(half))
        except Exception as again:
            if is_away(again):
                raise
            done += _halve(half, act, again, suspects)
    return done
