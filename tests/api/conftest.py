"""Clients of the API."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from litestar import Litestar
from litestar.testing import TestClient

from herald.api.app import make_app
from herald.api.http.resources import Budget, Resources
from herald.outbox.acceptance.committer import Committer
from herald.outbox.postgres.engine import make_engine
from herald.outbox.settings import Settings
from tests.api.fakes import FakeCommitter

NOWHERE = "postgresql://postgres@127.0.0.1:1/nowhere"
SMALL = {"max_body": 4096, "max_bulk_body": 131072}  # bytes
MAIL = {"smtp_host": "mail.example.com", "email_from": "herald@example.com"}
Client = TestClient[Litestar]
MakeClient = Callable[..., Client]


def make_settings(url: str, **settings: Any) -> Settings:
    """Only what the test says: neither the environment nor a `.env` is read. No key is needed."""
    return Settings.model_validate({"DATABASE_URL": url, "open": "yes", **settings})


@pytest.fixture
def committer() -> FakeCommitter:
    """Keeps what the API accepts."""
    return FakeCommitter()


@pytest.fixture
def client(committer: FakeCommitter) -> Iterator[Client]:
    """The API on a fake committer, without a database and with small limits."""
    settings = make_settings(NOWHERE, **SMALL, **MAIL)
    with _client(settings, committer) as client:
        yield client


@pytest.fixture
def herald(database: str) -> Iterator[Client]:
    """The API on a database of its own."""
    with make_client(database) as client:
        yield client


def make_client(url: str, **settings: Any) -> Client:
    """The API with the real committer on the database at `url`; a context manager."""
    found = make_settings(url, **settings)
    return _client(found, Committer(found))


def _client(settings: Settings, committer: Committer) -> Client:
    resources = Resources(settings, committer, make_engine(settings, "tests"), Budget(settings.memory))
    return TestClient(make_app(resources), base_url="http://127.0.0.1", raise_server_exceptions=False)
