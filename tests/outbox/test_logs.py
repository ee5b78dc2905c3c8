"""What a line looks like, and what is never in one."""

import errno
import io
import logging
import sys
from collections.abc import Callable

import pytest

from herald.outbox import logs
from herald.outbox.logs import _print_trace, _trace, log_many
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import execute
from tests.outbox.connections import connected


def traced(act: Callable[[], object]) -> str:
    """The traceback of what it raises, in both forms."""
    try:
        act()
    except (ValueError, RuntimeError, PostgresError) as error:
        exc_info, printed = (type(error), error, error.__traceback__), io.StringIO()
        _print_trace(printed, exc_info)
        assert _trace(exc_info) in printed.getvalue()
        return printed.getvalue()
    raise AssertionError("nothing was raised")


class FullDisk(io.StringIO):
    """Whatever is written there does not fit."""

    def write(self, _: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_line_that_cannot_be_written_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(logs, "_plain", {"role": "api", "level": "info"})
    monkeypatch.setattr(logging.getLogger(), "level", logging.INFO)
    monkeypatch.setattr(sys, "stdout", FullDisk())
    log_many("request", [(0.0, {"status": 200})])

    monkeypatch.setattr(sys, "stdout", shown)
    log_many("request", [(0.0, {"status": 202})])

    assert '"status":202' in shown.getvalue()


def test_a_traceback_has_no_variables() -> None:
    def fail(password: str) -> None:
        raise ValueError(f"{len(password)} characters")

    text = traced(lambda: fail("s3cr3t"))

    assert "ValueError: 6 characters" in text
    assert "s3cr3t" not in text.replace('fail("s3cr3t")', "")


@pytest.mark.parametrize(
    "statement", ["INSERT INTO pauses (scope, reason) VALUES ('x', 's3cr3t')", "SELECT 's3cr3t'::int"]
)
def test_of_an_error_of_postgresql_a_traceback_has_the_first_sentence(database: str, statement: str) -> None:
    with connected(database) as connection:
        execute(connection, "ALTER TABLE pauses ADD CONSTRAINT none CHECK (false) NOT VALID")
        connection.commit()

        text = traced(lambda: wrapped(connection, statement.replace("'s3cr3t'::int", "('s3cr3t' || '')::int")))

    assert "psycopg2.errors." in text
    assert "LINE 1" not in text
    assert "DETAIL" not in text


def wrapped(connection: Connection, statement: str) -> None:
    """As where one error explains another."""
    try:
        execute(connection, statement)
    except PostgresError as error:
        raise RuntimeError("the database refuses it") from error


def test_a_wrong_format_ends_the_process_and_names_its_setting(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HERALD_LOG_FORMAT", "xml")

    with pytest.raises(SystemExit) as ended:
        logs.load_log_settings()

    assert ended.value.code == 2
    assert capsys.readouterr().err == "HERALD_LOG_FORMAT: Input should be 'console' or 'json'\n"
