"""A page of a list is bounded by bytes as well: a thousand messages of a megabyte each would be a gigabyte."""

from collections.abc import Callable, Iterable
from typing import TypeVar

PAGE_BYTES = 16_777_216  # of the texts in a page; a page has one item at least
STREAMED = 50  # rows; a page of more is read piece by piece
PIECE = 10  # rows
# By status: where a list looks for it. What is sent is found among all messages, everything else in its queue.
QUEUES = {
    **dict.fromkeys(("pending", "sending"), "unfinished"),
    **dict.fromkeys(("scheduled", "failed"), "waiting"),
    **dict.fromkeys(("unknown", "dead", "cancelled", "expired", "discarded"), "unsent"),
}

Item = TypeVar("Item")


def bounded(items: Iterable[Item], size_of: Callable[[Item], int], *, limit: int) -> tuple[list[Item], bool]:
    """The first of them, `limit` at most, as many as fit; and whether there are more."""
    page: list[Item] = []
    size = 0
    for item in items:
        size += size_of(item)
        if page and (len(page) == limit or size > PAGE_BYTES):
            return page, True
        page.append(item)
    return page, False
