"""A wall clock of its own for a process: libfaketime, loaded before all else, adds what a file says."""

from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

LIBRARY = "libfaketime.so.1"


class MovedClock:
    """Start processes with its `settings`: from then on `move` moves what they take for the date, at once.

    What measures durations (CLOCK_MONOTONIC) goes on as before, as it does on a real machine.
    """

    def __init__(self, file: Path) -> None:
        self._file = file
        self.move(0)

    @property
    def settings(self) -> dict[str, str]:
        """For the environment of a process. Raises AssertionError where the library is not installed."""
        library = find_library()
        assert library, f"{LIBRARY} is not installed"
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }

    def move(self, seconds: float) -> None:
        """This far ahead of the machine's clock, or behind it; the file is there, and whole, at every moment."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n", encoding="utf-8")
        new.replace(self._file)


def find_library() -> Path | None:
    """Its wheel has it for Linux on x86-64 only."""
    try:
        found = [file for file in files("libfaketime") or () if file.name == LIBRARY]
    except PackageNotFoundError:
        return None
    return Path(str(found[0].locate())) if found else None
