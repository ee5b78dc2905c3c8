"""How PostgreSQL finds the rows of Herald's statements: each is explained as it is run, with its own values and plan.

A plan is wrong that reads more than a page one row after the other, gathers what several processes read, or sorts more
than a page: it takes as long as the table is large. What runs inside functions of the database is not seen.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar, NamedTuple

from herald.outbox.postgres.driver import Connection, Cursor

PAGE = 1_000  # rows that the relay reads at once
EXPLAIN = "EXPLAIN (ANALYZE, TIMING OFF, BUFFERS OFF, FORMAT JSON) "
_EXPLAINED = re.compile(r"\s*(SELECT|WITH|INSERT|UPDATE|DELETE|EXECUTE)\b", re.IGNORECASE)
_PARTITION = re.compile(r"_y\d+t\d+$|_before_\d+t\d+$")
_SETTING = re.compile(r"SET LOCAL [^;]*;\s*")
Node = dict[str, Any]


class Wrong(NamedTuple):
    """What a plan does with how many rows, of which table; partitions count as the whole."""

    what: str
    rows: int


class Explained(NamedTuple):
    """A statement, and what is wrong with its plan."""

    statement: str
    wrong: list[Wrong]


class ExplainingCursor(Cursor):
    """Explains what it is to run before it runs it."""

    found: ClassVar[list[Explained]] = []

    def execute(self, query: Any, values: Any = None) -> None:
        text = _SETTING.sub("", self.mogrify(query, values).decode())
        if _EXPLAINED.match(text):
            self.found.append(Explained(text, list(judge(self._plan(text)))))
        super().execute(query, values)

    def _plan(self, text: str) -> Node:
        """The statement is run for it, and what it did is undone."""
        begin, undo = ("BEGIN", "ROLLBACK") if self.connection.autocommit else ("SAVEPOINT e", "ROLLBACK TO e")
        with Cursor(self.connection) as cursor:
            cursor.execute(begin)
            cursor.execute(f"{EXPLAIN}{text}")
            (((explained,),),) = cursor.fetchall()
            cursor.execute(undo)
        plan: Node = explained["Plan"]
        return plan


@contextmanager
def explaining(connections: list[Connection]) -> Iterator[list[Explained]]:
    """Whatever runs over these connections is explained meanwhile."""
    factories = [connection.cursor_factory for connection in connections]
    ExplainingCursor.found.clear()
    for connection in connections:
        connection.cursor_factory = ExplainingCursor
    yield ExplainingCursor.found
    for connection, factory in zip(connections, factories, strict=True):
        connection.cursor_factory = factory


def judge(node: Node) -> Iterator[Wrong]:
    """What is wrong with a plan and with all below it."""
    below: list[Node] = node.get("Plans", [])
    kind, read, taken = node["Node Type"], _rows(node, "Actual Rows", "Rows Removed by Filter"), _taken(below)
    if kind.startswith("Gather"):
        yield Wrong(kind, read)
    if kind == "Seq Scan" and read > PAGE:
        yield Wrong(f"{kind} of {_PARTITION.sub('', node['Relation Name'])}", read)
    if kind.endswith("Sort") and taken > PAGE:
        yield Wrong(kind, taken)
    for one in below:
        yield from judge(one)


def summed(explained: list[Explained]) -> dict[str, int]:
    """Rows by what is done with them."""
    found: dict[str, int] = {}
    for what, rows in (wrong for one in explained for wrong in one.wrong):
        found[what] = found.get(what, 0) + rows
    return found


def _taken(below: list[Node]) -> int:
    """Of what is read first, unlike subqueries that stand there, too."""
    return sum(_rows(one, "Actual Rows") for one in below if one.get("Parent Relationship") == "Outer")


def _rows(node: Node, *names: str) -> int:
    """Of all its loops together."""
    each = sum(float(node.get(name, 0)) for name in names)
    return round(each * float(node.get("Actual Loops", 1)))
