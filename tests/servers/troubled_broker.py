"""A broker in trouble: the embedded one, behind a door that can be fenced, slow, silent or shut."""

import contextlib
import random
import socket
import struct
import threading
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from tests.servers.kafka_metadata import API_VERSIONS, METADATA, fenced, limited
from tests.servers.tansu import Tansu

Phase = Literal["well", "fenced", "slow", "hanging", "refusing"]
LOOK = 0.1  # seconds between two looks whether a phase is over
SLOWEST = 6.0  # seconds until a slow answer

_pause = threading.Event()


class TroubledBroker:
    """Well until `phase` is set to something else; `has_leader` may take single partitions out of what is fenced."""

    def __init__(self, folder: Path, *, seed: int = 0) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port: int = self._listener.getsockname()[1]
        self.tansu = Tansu(folder, advertised=self.port)
        self.phase: Phase = "well"
        self.has_leader: Callable[[str, int], bool] = lambda _topic, _partition: False
        self._random = random.Random(seed)  # noqa: S311 - repeatable
        self._open: set[socket.socket] = set()
        self._is_over = False

    @property
    def bootstrap_servers(self) -> str:
        return f"127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self.tansu.start()
        threading.Thread(target=self._accept, name="door", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._is_over = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.close_all()
        self.tansu.kill()

    def close_all(self) -> None:
        """Break every connection there is."""
        for one in tuple(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                if self.phase == "refusing":
                    client.close()
                    continue
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        asked: dict[int, tuple[int, int]] = {}
        with client, contextlib.suppress(OSError), socket.create_connection(self._target(), 5.0) as server:
            server.settimeout(None)
            self._open |= {client, server}
            answers = threading.Thread(target=self._answer, args=(server, client, asked), daemon=True)
            answers.start()
            try:
                while frame := _frame(client):
                    key, version, number = struct.unpack(">hhi", frame[:8])
                    asked[number] = (key, version)
                    server.sendall(struct.pack(">i", len(frame)) + frame)
            finally:
                for one in (client, server):
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)
                answers.join()
                self._open -= {client, server}

    def _target(self) -> tuple[str, int]:
        host, port = self.tansu.bootstrap_servers.split(":")
        return host, int(port)

    def _answer(self, server: socket.socket, client: socket.socket, asked: dict[int, tuple[int, int]]) -> None:
        try:
            while frame := _frame(server):
                self._dawdle()
                (number,) = struct.unpack(">i", frame[:4])
                key, version = asked.pop(number)
                changed = self._changed(frame, key, version)
                client.sendall(struct.pack(">i", len(changed)) + changed)
        except OSError:
            pass
        finally:
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)

    def _dawdle(self) -> None:
        while self.phase == "hanging" and not self._is_over:
            _pause.wait(LOOK)
        if self.phase == "slow":
            _pause.wait(self._random.uniform(0.2, SLOWEST))

    def _changed(self, frame: bytes, key: int, version: int) -> bytes:
        if key == API_VERSIONS:
            return limited(frame, version)
        if key == METADATA and self.phase == "fenced":
            return fenced(frame, version, but=self.has_leader)
        return frame


def _frame(source: socket.socket) -> bytes:
    """The next message without its length; empty where the connection has ended."""
    length = _exactly(source, 4)
    return _exactly(source, struct.unpack(">i", length)[0]) if length else b""


def _exactly(source: socket.socket, count: int) -> bytes:
    data = bytearray()
    while len(data) < count:
        piece = source.recv(count - len(data))
        if not piece:
            return b""
        data += piece
    return bytes(data)
