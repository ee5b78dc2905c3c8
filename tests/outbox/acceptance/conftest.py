"""What every test of accepting has."""

from collections.abc import Iterator

import pytest
from structlog.testing import capture_logs


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Tracebacks are drawn with all their variables, which takes a second each."""
    with capture_logs():
        yield
