from collections.abc import Iterator

import pytest

from herald.pipeline.channels.webhook.network import Connection
from tests.pipeline.channels.waiting import Waiting


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No channel is left open."""
    yield
    Waiting.close_all()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Bytes of each read from a connection."""
    sizes: list[int] = []
    real = Connection.data_received

    def counted(connection: Connection, data: bytes) -> None:
        sizes.append(len(data))
        real(connection, data)

    monkeypatch.setattr(Connection, "data_received", counted)
    return sizes
