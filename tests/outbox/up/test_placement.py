"""Where the programs and the data of the embedded servers lie, and as whom PostgreSQL runs."""

import os
import pwd
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from herald.outbox.up import placement
from herald.outbox.up.child import OURS, Account, StartError
from herald.outbox.up.placement import (
    LONGEST_SOCKET,
    POSTGRES,
    SOCKET,
    UNPRIVILEGED,
    account_for,
    elsewhere_for,
    home_for,
    make_folder,
    may,
    reachable,
    socket_folder,
    wheel,
)

DATA = Path("/home/ada/project/.herald")
NOBODY = Account(*pwd.getpwnam(UNPRIVILEGED)[2:4])
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root runs anything as somebody else")


@pytest.fixture
def opened() -> Iterator[Path]:
    """A folder that everybody passes, below folders that everybody passes; pytest's own is private."""
    with tempfile.TemporaryDirectory(prefix="herald-placement-") as folder:
        Path(folder).chmod(0o711)
        yield Path(folder)


@pytest.fixture
def data(opened: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder that everybody passes; `elsewhere` lies beside it."""
    monkeypatch.setattr(placement, "SHARED", opened)
    (opened / "project" / "data").mkdir(parents=True)
    for folder in (opened / "project", opened / "project" / "data"):
        folder.chmod(0o711)
    return opened / "project" / "data"


def test_who_is_not_root_keeps_the_data_in_its_folder() -> None:
    assert home_for(DATA, OURS) == DATA


@as_root
def test_root_runs_the_server_as_nobody_and_as_the_owner_of_what_is_there(data: Path) -> None:
    assert account_for(data) == NOBODY

    (data / "postgres").mkdir()
    os.chown(data / "postgres", 4242, 4243)

    assert account_for(data) == Account(4242, 4243)


def test_data_of_somebody_else_is_refused(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "postgres").mkdir()
    monkeypatch.setattr(placement, "OURS", Account(os.geteuid() + 1, 1))

    with pytest.raises(StartError, match="belongs to another user"):
        account_for(data)


@as_root
def test_root_keeps_the_data_where_the_server_can_reach_it(data: Path) -> None:
    assert home_for(data, NOBODY) == data


@as_root
@pytest.mark.parametrize("closed", ["data", "project"])
def test_root_moves_the_data_out_of_a_private_folder(data: Path, closed: str) -> None:
    (data if closed == "data" else data.parent).chmod(0o700)

    assert home_for(data, NOBODY) == elsewhere_for(data)
    assert stat.S_IMODE(elsewhere_for(data).stat().st_mode) == 0o711


@as_root
def test_data_that_moved_once_is_found_again(data: Path) -> None:
    (elsewhere_for(data) / "postgres").mkdir(parents=True)

    assert home_for(data, NOBODY) == elsewhere_for(data)


@as_root
@pytest.mark.parametrize(
    ("mode", "uid", "gid", "passes"),
    [
        (0o700, NOBODY.uid, 0, True),
        (0o010, 0, NOBODY.gid, True),
        (0o001, 0, 0, True),
        (0o077, NOBODY.uid, 0, False),  # the owner's bits hold even when others may more
    ],
)
def test_owner_group_and_others_each_count_for_themselves(
    data: Path, mode: int, uid: int, gid: int, *, passes: bool
) -> None:
    os.chown(data, uid, gid)
    data.chmod(mode)

    assert may(NOBODY, "test", "-x", data) == passes


@as_root
def test_programs_in_a_private_environment_are_not_runnable(data: Path) -> None:
    program = data / "program"
    program.write_text("#!/bin/sh\n")

    def is_runnable(of_program: int, of_folder: int) -> bool:
        program.chmod(of_program)
        data.chmod(of_folder)
        return may(NOBODY, program)

    assert is_runnable(0o755, 0o711)
    assert not is_runnable(0o700, 0o711)
    assert not is_runnable(0o755, 0o700)


def test_each_data_folder_has_its_own_place_elsewhere() -> None:
    assert elsewhere_for(DATA) == elsewhere_for(DATA)
    assert elsewhere_for(DATA) != elsewhere_for(DATA / "other")


@pytest.mark.parametrize("name", ["x" * 90, "a,b"])
def test_a_socket_whose_name_libpq_cannot_take_lives_elsewhere(name: str, tmp_path: Path) -> None:
    home = tmp_path / name

    folder = socket_folder(home, home)
    folder.parent.rmdir()

    assert home not in folder.parents
    assert len(os.fsencode(folder / SOCKET)) <= LONGEST_SOCKET


def test_a_short_name_keeps_its_socket() -> None:
    assert socket_folder(DATA, DATA) == DATA / "socket"


def test_a_new_folder_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    previous = os.umask(0o077)
    try:
        make_folder(tmp_path / "new", mode=0o711)
    finally:
        os.umask(previous)

    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o711


def test_a_folder_that_others_can_write_is_refused_and_left_alone(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)

    with pytest.raises(StartError, match="only its owner"):
        make_folder(folder, mode=0o700)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o777


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(StartError):
        make_folder(tmp_path / "link", mode=0o700)


@pytest.fixture
def installation(opened: Path) -> Path:
    """A wheel as it is installed: programs, and libraries beside the package."""
    site = opened / "site-packages"
    program = site / POSTGRES / "pginstall18" / "bin" / "postgres"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    library = site / f"{POSTGRES}.libs" / "libpq.so"
    library.parent.mkdir()
    library.write_text("library")
    return program.parent.parent


def test_nothing_is_copied_or_made_for_who_reaches_the_programs(installation: Path, opened: Path) -> None:
    assert reachable(installation, OURS, opened / "staging") == installation
    assert not (opened / "staging").exists()


def test_a_copy_finds_its_libraries_where_the_programs_look_for_them(installation: Path, opened: Path) -> None:
    site = installation.parent.parent
    site.chmod(0o700)

    copy = reachable(installation, NOBODY, opened / "staging")

    assert os.geteuid() != 0 or may(NOBODY, copy / "bin" / "postgres", "--version")
    assert (copy / "bin" / "../../.." / f"{POSTGRES}.libs" / "libpq.so").read_text() == "library"
    assert site.stat().st_mode & 0o777 == 0o700
    assert reachable(installation, NOBODY, opened / "staging") == copy


def test_a_wheel_that_is_missing_is_named_with_its_extra() -> None:
    with pytest.raises(StartError, match=r"not installed \(no_such_server\): install herald\[embedded\]"):
        wheel("no_such_server")
