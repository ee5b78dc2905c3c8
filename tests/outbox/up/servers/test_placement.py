"""Where the embedded PostgreSQL lives, and as whom."""

import os
import stat
from pathlib import Path

import pytest

from herald.outbox.up.servers.placement import (
    LONGEST_SOCKET,
    SOCKET,
    Placement,
    PlacementError,
    elsewhere_for,
    make_folder,
    passable,
    place,
    runnable,
    socket_home,
)
from herald.outbox.up.supervisor.child import Account

SERVER = Account(uid=65534, gid=65534)
DATA = Path("/home/ada/project/.herald")
ELSEWHERE = Path("/elsewhere/herald-x")


class FakeFolders:
    """A stat() over folders that exist only here: path → mode, all of them root's."""

    def __init__(self, modes: dict[str, int], uid: int = 0, gid: int = 0) -> None:
        self._modes = modes
        self._owner = (uid, gid)

    def __call__(self, path: Path) -> os.stat_result:
        if str(path) not in self._modes:
            raise FileNotFoundError(path)
        return os.stat_result((self._modes[str(path)], 0, 0, 1, *self._owner, 0, 0, 0, 0))


OPEN = {"/": 0o755, "/home": 0o755, "/home/ada": 0o755, "/home/ada/project": 0o755}
PRIVATE = {**OPEN, "/home/ada": 0o700}


def test_who_is_not_root_keeps_the_data_in_its_folder() -> None:
    assert place(DATA, None, elsewhere=ELSEWHERE, look=FakeFolders(PRIVATE)) == Placement(DATA, None)


def test_root_keeps_the_data_where_the_server_can_reach_it() -> None:
    assert place(DATA, SERVER, elsewhere=ELSEWHERE, look=FakeFolders(OPEN)) == Placement(DATA, SERVER)


def test_root_moves_the_data_out_of_a_private_folder() -> None:
    placement = place(DATA, SERVER, elsewhere=ELSEWHERE, look=FakeFolders(PRIVATE))

    assert placement == Placement(ELSEWHERE, SERVER, moved=True)


def test_data_that_moved_once_is_found_again() -> None:
    folders = FakeFolders({**OPEN, str(ELSEWHERE / "postgres"): 0o700})

    assert place(DATA, SERVER, elsewhere=ELSEWHERE, look=folders).home == ELSEWHERE


def test_an_existing_data_folder_that_is_private_is_not_passable() -> None:
    assert not passable(DATA, SERVER, FakeFolders({**OPEN, str(DATA): 0o700}))


@pytest.mark.parametrize(("uid", "gid", "mode"), [(65534, 0, 0o700), (0, 65534, 0o010), (0, 0, 0o001)])
def test_owner_group_and_others_each_count_for_themselves(uid: int, gid: int, mode: int) -> None:
    assert passable(Path("/"), SERVER, FakeFolders({"/": mode}, uid, gid))


def test_the_owners_bits_hold_even_when_others_may_more() -> None:
    assert not passable(Path("/"), SERVER, FakeFolders({"/": 0o077}, uid=65534))


def test_programs_in_a_private_environment_are_not_runnable() -> None:
    program = Path("/home/ada/postgres")

    assert runnable(program, SERVER, FakeFolders({**OPEN, str(program): 0o755}))
    assert not runnable(program, SERVER, FakeFolders({**OPEN, str(program): 0o700}))
    assert not runnable(program, SERVER, FakeFolders({**PRIVATE, str(program): 0o755}))


def test_each_data_folder_has_its_own_place_elsewhere() -> None:
    assert elsewhere_for(DATA) == elsewhere_for(DATA)
    assert elsewhere_for(DATA) != elsewhere_for(DATA / "other")


@pytest.mark.parametrize("name", ["x" * 90, "a,b"])
def test_a_socket_whose_name_libpq_cannot_take_lives_elsewhere(name: str) -> None:
    home = DATA / name

    chosen = socket_home(home, home)

    assert chosen != home
    assert len(os.fsencode(chosen / "socket" / SOCKET)) <= LONGEST_SOCKET


def test_a_short_name_keeps_its_socket() -> None:
    assert socket_home(DATA, DATA) == DATA


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

    with pytest.raises(PlacementError, match="only its owner"):
        make_folder(folder, mode=0o700)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o777


def test_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)

    with pytest.raises(PlacementError):
        make_folder(tmp_path / "link", mode=0o700)
