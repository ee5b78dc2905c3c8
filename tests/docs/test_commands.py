"""Every command of the pages, run as it is printed, against a Herald started with `herald up`."""

import json
import re
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.pages import ROOT, Block, blocks
from tests.docs.shell import Shell
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.herald import herald_environment
from tests.servers.ports import free_port

STARTED = 120.0  # seconds; about 8 on an idle machine
DELIVERED = 60.0  # seconds; the embedded broker lets the first consumer in after some
CHECKOUT = ("alembic", "alembic.ini", "pyproject.toml")  # what `alembic` looks for where the reader stands
PORT = "localhost:8000"
_VARIES = (
    (re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"), "<id>"),
    (re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d+(?:Z|\+00:00)"), "<date>"),
)


@pytest.fixture(scope="module")
def reader() -> Iterator[tuple[Path, int]]:
    """The folder in which the reader stands, and the port of the Herald that runs there.

    Not pytest's folder: that one is closed to others, and for root the database would go elsewhere and stay there.
    """
    assert shutil.which("curl"), "the commands of the README need curl"
    folder, port = Path(tempfile.mkdtemp(prefix="herald-reader-")), free_port()
    folder.chmod(0o711)
    for name in CHECKOUT:
        (folder / name).symlink_to(ROOT / name)
    command = [sys.executable, "-m", "herald.outbox.cli", "up", "--port", str(port)]
    herald = Child(command, log=folder / "up.log", env=herald_environment({"HERALD_OPEN": ""}), cwd=folder)
    herald.start()
    try:
        herald.wait_for("another terminal", STARTED)
        yield folder, port
    finally:
        code, tail = herald.stop(), herald.tail()
        shutil.rmtree(folder)
    assert code == 0, tail


@pytest.mark.parametrize("page", ["README.md", "docs/api.md", "docs/operating.md"])
def test_every_command_works_as_printed(reader: tuple[Path, int], page: str) -> None:
    folder, port = reader
    runnable = [block for block in blocks(ROOT / page, "sh") if not block.why]
    assert runnable
    with Shell(folder) as shell:
        if page != "README.md":
            shell.run("source .herald/env")  # the README says it where it comes to it

        for block in runnable:
            follow(shell, block, port)
        if page == "README.md":
            prints_the_status_it_shows(shell)


def follow(shell: Shell, block: Block, port: int) -> None:
    """Run it; where the page shows an answer, it must come: for what is being delivered, a moment later."""
    command = block.text.replace(PORT, f"localhost:{port}")
    printed = shell.run(command)
    if block.after is None:
        return
    wanted, first = comparable(block.after), comparable(printed)
    if first == wanted:
        return
    assert not any(method in block.text for method in ("POST", "PUT", "DELETE")), first
    eventually(lambda: comparable(shell.run(command)) == wanted, DELIVERED, what=f"{command} answers {wanted}")


def comparable(text: str) -> object:
    for pattern, placeholder in _VARIES:
        text = pattern.sub(placeholder, text)
    return json.loads(text)


def prints_the_status_it_shows(shell: Shell) -> None:
    (sample,) = [block.text for block in blocks(ROOT / "README.md", "text") if block.text.startswith("database ")]

    def is_as_shown() -> bool:
        assert shape(shell.run("herald status")) == shape(sample)
        return True

    eventually(is_as_shown, DELIVERED)


def shape(text: str) -> list[str]:
    """The words of each line; every figure, id and group is 0, and what another page cancelled is left out."""
    text = re.sub(r"group herald(-[0-9a-f]{8})?", "group 0", text)
    text = re.sub(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "0", text)
    lines = [" ".join(re.sub(r"\d[\d.,]*", "0", line).split()) for line in text.strip().splitlines()]
    return [line.replace("0 cancelled, ", "") for line in lines]
