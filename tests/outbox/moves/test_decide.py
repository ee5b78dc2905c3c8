"""What the API decides is done by functions of the database, which are the statements that the door puts together."""

import re

import pytest

from herald.outbox.moves.decide import DISCARD, EDIT, REQUEUE
from herald.outbox.postgres.statements import fetch_value
from tests.outbox.connections import connected

PLACEHOLDER = re.compile(r"%\((\w+)\)s")


@pytest.mark.parametrize(
    ("name", "statement", "values"),
    [
        ("requeue", REQUEUE, ("ids", "actor")),
        ("edit", EDIT, ("ids", "edit", "actor")),
        ("discard", DISCARD, ("ids", "reason", "actor")),
    ],
)
def test_a_function_is_the_statement_of_its_move(
    database: str, name: str, statement: str, values: tuple[str, ...]
) -> None:
    composed = PLACEHOLDER.sub(lambda found: f"${values.index(found[1]) + 1}", statement)

    with connected(database) as connection:
        query = "SELECT prosrc FROM pg_proc WHERE pronamespace = 'herald'::regnamespace AND proname = %s"
        assert fetch_value(connection, query, name).strip() == composed.strip()
