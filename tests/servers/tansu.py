"""The embedded broker: Kafka's protocol, everything in memory, ready within milliseconds."""

from pathlib import Path
from types import TracebackType
from typing import Self

from herald.outbox.up.broker import command
from tests.servers.child import Child
from tests.servers.eventually import eventually
from tests.servers.ports import accepts, free_port


class Tansu:
    """It forgets topics, records and offsets at its end; a restart keeps the address.

    With `advertised`, a port of this machine, it leads its clients there: to a proxy.
    """

    def __init__(self, folder: Path, *, advertised: int | None = None) -> None:
        self._port = free_port()
        line = command(self._port, folder, advertised=advertised)
        self.child = Child(line, log=folder / "tansu.log", cwd=folder)

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self._port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()

    def start(self) -> None:
        self.child.start()
        eventually(lambda: accepts(self._port), what="the embedded broker listens")

    def stop(self) -> None:
        self.child.stop()

    def kill(self) -> None:
        self.child.kill()
