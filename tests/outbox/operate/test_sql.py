"""`herald sql`: what it prints is what psql runs."""

import subprocess

import pytest
from click.testing import CliRunner

from herald.outbox.operate.sql import MOVES, command
from herald.outbox.up.placement import POSTGRES, wheel

PSQL = wheel(POSTGRES) / "pginstall18" / "bin" / "psql"
ID = "01900000-0000-7000-8000-000000000001"
VALUES = {
    "rows": "'[]'",
    "type": "'message.adopted'",
    "records": "'[]'",
    "lease": "60",
    "outcomes": "'[]'",
    "dead_letters": "'dead_letters'",
    "policies": "'[]'",
    "strict_topics": "'{}'",
    "limit": "10",
    "only": "NULL",
    "left_alone": "'{}'",
    "ramp": "10",
    "refused": "'[]'",
    "id": f"'{ID}'",
    "behind": "NULL",
    "ids": f"'{{{ID}}}'",
    "version": "1",
    "topics": "NULL",
    "whose": "NULL",
    "actor": "NULL",
    "reason": "'no'",
    "traceparent": "NULL",
    "edit": "'{\"data\": {}}'",
}


@pytest.mark.parametrize("move", MOVES)
def test_psql_runs_what_is_printed(database: str, move: str) -> None:
    printed = CliRunner().invoke(command, [move], env={"DATABASE_URL": database})
    assert printed.exit_code == 0, printed.output

    given = [f"--set={name}={value}" for name, value in VALUES.items()]
    psql = [str(PSQL), "--no-psqlrc", "--set=ON_ERROR_STOP=1", *given, database]
    done = subprocess.run(psql, input=printed.stdout, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("SET\nPREPARE\n")


def test_an_unknown_move_is_answered_with_those_there_are() -> None:
    answer = CliRunner().invoke(command, ["teleport"])

    assert answer.exit_code == 2
    assert all(move in answer.output for move in MOVES)
