"""Numbers of the port, whichever of its processes they come from.

Each process has a seat: cells that it alone writes and all of them read. So nothing is locked, and what a killed
process had counted is cleared with its seat. Two that look in the same instant may both take what is there for one.
"""

import mmap
import os
import sys
import tempfile

WIDTH = 8  # bytes of a cell
KINDS = 3  # connections, bytes of bodies, whether it listens


class Total:
    """One number: the part that this process of so many has of it, and the sum of all parts."""

    def __init__(self, parts: memoryview | None = None, seat: int = 0, *, processes: int = 1) -> None:
        self.processes = processes
        self._parts = memoryview(bytearray(WIDTH)).cast("q") if parts is None else parts
        self._seat = seat

    @property
    def own(self) -> int:
        """The part of this process."""
        return int(self._parts[self._seat])

    @own.setter
    def own(self, value: int) -> None:
        self._parts[self._seat] = value

    @property
    def all(self) -> int:
        """The sum of all parts."""
        return sum(self._parts)


class Totals:
    """Those of a port, as one seat sees them."""

    def __init__(self, file: int, *, processes: int, seat: int) -> None:
        seats = seats_of(processes)
        cells = memoryview(mmap.mmap(file, KINDS * seats * WIDTH)).cast("q")
        self.connections = Total(cells[:seats], seat, processes=processes)
        self.body_bytes = Total(cells[seats : 2 * seats], seat, processes=processes)
        self.listening = Total(cells[2 * seats :], seat, processes=processes)  # 1 of each that does

    def clear(self) -> None:
        """Whoever had this seat is gone."""
        self.connections.own = self.body_bytes.own = self.listening.own = 0


def seats_of(processes: int) -> int:
    """One more, for the successor of one."""
    return processes + 1


def make_file(processes: int) -> int:
    """Memory that other processes can share, as a file descriptor; the system takes it back with the last of them."""
    if sys.platform == "linux":  # needs no folder that can be written to
        file = os.memfd_create("herald-totals")
    else:
        with tempfile.TemporaryFile() as unnamed:
            file = os.dup(unnamed.fileno())
    os.ftruncate(file, KINDS * seats_of(processes) * WIDTH)
    return file
