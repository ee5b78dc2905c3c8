"""What `herald up` refuses before anything starts."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from herald.outbox.up import command as module
from herald.outbox.up.command import base_url, command, held, make_data_folder
from tests.servers.ports import free_port


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


@pytest.fixture(autouse=True)
def nothing_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> int:
        pytest.fail("something was started")

    monkeypatch.setattr(module, "_run", refuse)


def test_a_port_in_use_names_the_option(taken_port: int, tmp_path: Path) -> None:
    result = CliRunner().invoke(command, ["--port", str(taken_port), "--data", str(tmp_path / "data")])

    assert result.exit_code == 1
    assert f"the API cannot listen on 127.0.0.1:{taken_port}" in result.output
    assert "--port" in result.output


def test_a_data_folder_in_use_names_the_option(tmp_path: Path) -> None:
    with held(tmp_path):
        result = CliRunner().invoke(command, ["--data", str(tmp_path)])

    assert result.exit_code == 1
    assert "already runs on" in result.output
    assert "--data" in result.output


def test_a_wrong_port_in_the_environment_names_the_setting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HERALD_PORT", "http")

    result = CliRunner().invoke(command, ["--data", str(tmp_path)])

    assert result.exit_code == 2
    assert "HERALD_PORT" in result.output


def test_a_demo_without_a_key_is_refused_where_one_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://herald@127.0.0.1:1/herald")

    result = CliRunner().invoke(command, ["--port", str(free_port()), "--data", str(tmp_path), "--demo", "1"])

    assert result.exit_code == 1
    assert "set HERALD_OPEN=yes" in result.output


@pytest.mark.parametrize(
    ("name", "value"), [("HERALD_LEASE", "0"), ("DATABASE_URL", "mysql://x"), ("HERALD_ROUTES", "{")]
)
def test_a_wrong_setting_is_named_before_anything_starts(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(name, value)

    result = CliRunner().invoke(command, ["--data", str(tmp_path / "data")])

    assert result.exit_code == 2
    assert name in result.output
    assert not (tmp_path / "data").exists()


def test_an_existing_data_folder_keeps_its_mode(tmp_path: Path) -> None:
    tmp_path.chmod(0o750)

    make_data_folder(tmp_path)

    assert tmp_path.stat().st_mode & 0o777 == 0o750


@pytest.mark.parametrize(
    ("host", "url"),
    [("127.0.0.1", "http://127.0.0.1:8000"), ("0.0.0.0", "http://127.0.0.1:8000"), ("::1", "http://[::1]:8000")],  # noqa: S104
)
def test_the_printed_url_can_be_opened_on_this_machine(host: str, url: str) -> None:
    assert base_url(host, 8000) == url
