from collections.abc import Iterator

import pytest

from tests.pipeline.channels.waiting import Waiting


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    """No channel is left open."""
    yield
    Waiting.close_all()
