"""The folder of `--data`: one `herald up` at a time."""

import fcntl
import os
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path


class InUseError(Exception):
    """Another `herald up` runs on the same folder, or on the same port; the text names the option to change."""


def make_data_folder(data: Path) -> None:
    """Make the folder unless it exists; for root passable, because the server runs as somebody else."""
    if data.is_dir():
        return
    data.mkdir(parents=True)
    data.chmod(0o711 if os.geteuid() == 0 else 0o700)


@contextmanager
def held(data: Path) -> Generator[None]:
    """Hold the folder; the kernel lets go when this process ends, however it ends. Raises InUseError."""
    with (data / "lock").open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            owner = file.read().strip()
            message = f"herald up already runs on {data} (process {owner}): choose another folder with --data"
            raise InUseError(message) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
