"""An error and all that led to it."""

from collections.abc import Iterator


def with_causes(error: BaseException) -> Iterator[BaseException]:
    """The error, what it was raised from or while, and the members of groups; each once."""
    seen: set[int] = set()
    left = [error]
    while left:
        one = left.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        members = one.exceptions if isinstance(one, BaseExceptionGroup) else ()
        left += [cause for cause in (one.__cause__, one.__context__, *members) if cause is not None]


def drop_tracebacks(error: BaseException) -> None:
    """Let go of what the failed call held, its message among it, once nobody asks any more where it failed.

    A frame that has its own error in a variable is freed by the garbage collector only, which counts objects and not
    their bytes: three hundred failed calls with a megabyte each wait for it.
    """
    for one in with_causes(error):
        one.__traceback__ = None
