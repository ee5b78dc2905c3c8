"""The fake committer keeps the promise of the real one."""

import asyncio
from collections.abc import Callable

import pytest

from outbox.acceptance import make_acceptance
from outbox.committer import Committer, UnavailableError
from tests.api.conftest import make_settings
from tests.api.fakes import FakeCommitter

MakeCommitter = Callable[[], Committer]


@pytest.fixture(params=["fake", "real"])
def make_committer(request: pytest.FixtureRequest) -> MakeCommitter:
    if request.param == "fake":
        return FakeCommitter
    settings = make_settings(request.getfixturevalue("database"))
    return lambda: Committer(settings)


def _submit(committer: Committer) -> None:
    asyncio.run(committer.submit([make_acceptance("generic_topic", None, b"{}")]))


def test_what_is_submitted_between_start_and_stop_is_taken(make_committer: MakeCommitter) -> None:
    committer = make_committer()

    committer.start()
    assert committer.is_alive
    _submit(committer)
    committer.stop()

    assert not committer.is_alive


def test_nothing_is_taken_before_the_start(make_committer: MakeCommitter) -> None:
    with pytest.raises(UnavailableError, match="not running"):
        _submit(make_committer())


def test_nothing_is_taken_after_the_stop(make_committer: MakeCommitter) -> None:
    committer = make_committer()
    committer.start()
    committer.stop()

    with pytest.raises(UnavailableError, match="not running"):
        _submit(committer)
