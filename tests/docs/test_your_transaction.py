"""The blocks of the page on one's own transaction, run as they are printed."""

import os
import re
import subprocess
import sys
from contextlib import closing
from importlib.util import find_spec
from pathlib import Path

import pytest

from herald.outbox.postgres.driver import connect_plainly
from herald.outbox.postgres.statements import execute, fetch
from tests.docs.pages import ROOT, Block, blocks
from tests.outbox.connections import connected

PAGE = ROOT / "docs" / "your-transaction.md"
PYTHON = blocks(PAGE, "python")
ORDERS = "CREATE TABLE orders (id integer PRIMARY KEY, customer text NOT NULL)"
SENT = "SELECT user_id, event, content FROM notifications"
PLACED = [("ada", "order.placed", "Order 7 is placed.")]
# What a project of Django has beside such a function.
DJANGO = """
import os
from django.conf import settings
from psycopg2.extensions import parse_dsn
dsn = parse_dsn(os.environ["DATABASE_URL"])
place = {"NAME": dsn["dbname"], "USER": dsn["user"], "HOST": dsn["host"], "PORT": dsn["port"]}
settings.configure(DATABASES={"default": {"ENGINE": "django.db.backends.postgresql", **place}})
place_order()
"""


def modules(block: Block) -> set[str]:
    return set(re.findall(r"^(?:from|import) (\w+)", block.text, re.MULTILINE)) | (
        {"asyncpg"} if "create_async_engine" in block.text else set()
    )


def run_sql(url: str, statement: str) -> None:
    with closing(connect_plainly(url)) as connection:
        connection.autocommit = True
        execute(connection, statement)


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_a_program_sends_with_its_row(database: str, tmp_path: Path, number: int) -> None:
    block = PYTHON[number]
    if missing := sorted(name for name in modules(block) if find_spec(name) is None):
        pytest.skip(f"not installed here: {', '.join(missing)}")
    run_sql(database, ORDERS)
    program = tmp_path / "program.py"
    program.write_text(block.text + (DJANGO if "django" in block.text else ""), encoding="utf-8")
    driver = "postgresql+psycopg2:" if "create_engine" in block.text else "postgresql:"
    environment = {**os.environ, "DATABASE_URL": database.replace("postgresql:", driver, 1)}

    subprocess.run([sys.executable, program], env=environment, check=True, timeout=30)

    with connected(database) as connection:
        assert fetch(connection, SENT) == PLACED


def test_the_statements_of_the_page_run_and_a_trigger_sends(database: str) -> None:
    example, *others = [one.text for one in blocks(PAGE, "sql")]
    trigger = next(one for one in others if "CREATE TRIGGER" in one)
    run_sql(database, ORDERS)
    run_sql(database, example)
    with connected(database) as connection:
        assert fetch(connection, SENT) == PLACED
    run_sql(database, trigger)
    run_sql(database, "INSERT INTO orders VALUES (8, 'bob')")

    with connected(database) as connection:
        assert ("bob", "order.placed", "Order 8 is placed.") in fetch(connection, SENT)
