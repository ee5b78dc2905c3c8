"""Inputs through both doors; 50,000 of them by `python -m tests.proof.callers inputs`."""

from pathlib import Path

from tests.conftest import made_database
from tests.proof.callers.doors import compare, deliver, near
from tests.proof.callers.inputs import Inputs
from tests.proof.end_to_end.system import show
from tests.proof.fuzz.values import Draw
from tests.servers.postgres import PostgresServer

INPUTS = 600


def test_what_http_accepts_sql_accepts_and_what_only_sql_accepts_ends_dead_with_the_same_words(
    server: PostgresServer, migrated_template: str, database: str, broker: str, tmp_path: Path
) -> None:
    with made_database(server, migrated_template) as another:
        compared = compare(another, database, tmp_path, inputs=INPUTS, seed=7)
    deliver(compared, database, broker, tmp_path)

    show(f"{compared.found} {compared.dead}")
    assert compared.wrong == []
    assert {what for _, what in compared.found} == {"accepted by both", "accepted by SQL alone", "refused by both"}


def test_a_seed_makes_the_same_inputs_again() -> None:
    dates = near()

    once, again = ([made.next() for _ in range(200)] for made in (Inputs(Draw(7), dates), Inputs(Draw(7), dates)))

    assert once == again
