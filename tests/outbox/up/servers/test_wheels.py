"""The programs of the embedded servers."""

from pathlib import Path

import pytest

from herald.outbox.up.servers.wheels import POSTGRES, reachable
from herald.outbox.up.supervisor.child import Account

NOBODY = Account(uid=65534, gid=65534)


@pytest.fixture
def installation(tmp_path: Path) -> Path:
    """A wheel as it is installed: programs, and libraries beside the package."""
    site = tmp_path / "site-packages"
    program = site / POSTGRES / "pginstall18" / "bin" / "postgres"
    program.parent.mkdir(parents=True)
    program.write_text("program")
    library = site / f"{POSTGRES}.libs" / "libpq.so"
    library.parent.mkdir()
    library.write_text("library")
    return program.parent.parent


def test_nothing_is_copied_or_made_for_who_reaches_the_programs(installation: Path) -> None:
    def refuse() -> Path:
        pytest.fail("a folder was made")

    assert reachable(installation, None, refuse) == installation


def test_a_copy_finds_its_libraries_where_the_programs_look_for_them(installation: Path, tmp_path: Path) -> None:
    site = installation.parent.parent
    site.chmod(0o700)
    staging = tmp_path / "staging"
    staging.mkdir()

    copy = reachable(installation, NOBODY, lambda: staging)

    assert (copy / "bin" / "postgres").read_text() == "program"
    assert (copy / "bin" / "../../.." / f"{POSTGRES}.libs" / "libpq.so").read_text() == "library"
    assert site.stat().st_mode & 0o777 == 0o700
