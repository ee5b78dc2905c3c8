"""What a killed `herald up` leaves behind."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from herald.outbox.up.placement import SOCKET
from herald.outbox.up.postgres import stop_orphan, worth_showing
from herald.outbox.up.supervisor import Signals

WAITS = "import signal; print('here', flush=True); signal.pause()"

StartIn = Callable[[Path], "subprocess.Popen[str]"]


@pytest.fixture
def start_in() -> Iterator[StartIn]:
    """Start a process that works in a folder, as a postmaster works in its data."""
    started: list[subprocess.Popen[str]] = []

    def start(folder: Path) -> "subprocess.Popen[str]":
        process = subprocess.Popen([sys.executable, "-c", WAITS], cwd=folder, stdout=subprocess.PIPE, text=True)
        started.append(process)
        assert process.stdout
        process.stdout.readline()
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout
        process.stdout.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "postgres").mkdir()
    return tmp_path / "postgres"


def leave_locks(data: Path, pid: int) -> tuple[Path, Path]:
    """Write the lock files that a server makes."""
    locks = data / "postmaster.pid", data.parent / f"{SOCKET}.lock"
    for lock in locks:
        lock.write_text(f"{pid}\n{data}\n")
    return locks


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere it is known by its command line")
def test_a_server_that_outlived_its_parent_is_stopped(data: Path, start_in: StartIn) -> None:
    process = start_in(data)
    leave_locks(data, process.pid)

    with Signals() as signals:
        stop_orphan(data, data.parent, signals)

    assert process.wait(5) != 0


def test_a_program_that_was_given_the_old_process_id_is_left_alone(
    data: Path, start_in: StartIn, tmp_path: Path
) -> None:
    process = start_in(tmp_path)
    locks = leave_locks(data, process.pid)

    with Signals() as signals:
        stop_orphan(data, data.parent, signals)

    assert process.poll() is None
    assert not any(lock.exists() for lock in locks)


def test_without_a_lock_there_is_nothing_to_stop(data: Path) -> None:
    with Signals() as signals:
        stop_orphan(data, data.parent, signals)


def test_the_servers_ordinary_lines_are_left_out() -> None:
    assert not worth_showing("LOG:  checkpoint starting: time")
    assert worth_showing("FATAL:  could not open file")
