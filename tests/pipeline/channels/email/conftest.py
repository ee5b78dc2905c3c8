"""A mail server, and the channel that leads to it."""

from collections.abc import Iterator

import pytest

from herald.pipeline.channels.email.channel import EmailChannel
from tests.pipeline.channels.mail import channel_to
from tests.servers.smtp_server import SmtpServer


@pytest.fixture
def server() -> Iterator[SmtpServer]:
    with SmtpServer() as server:
        yield server


@pytest.fixture
def channel(server: SmtpServer) -> Iterator[EmailChannel]:
    channel = channel_to(server)
    yield channel
    channel.close()
