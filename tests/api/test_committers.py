"""The fake committer keeps the promise of the real one."""

import asyncio
from collections.abc import Callable

import pytest

from herald.outbox.acceptance.committer import Committer, UnavailableError
from herald.outbox.acceptance.idempotency import KeyReusedError, Receipt, RequestKey, make_request_key
from herald.outbox.moves.accept import make_acceptance
from tests.api.conftest import make_settings
from tests.api.fakes import FakeCommitter
from tests.pipeline.records import new_id

MakeCommitter = Callable[[], Committer]


@pytest.fixture(params=["fake", "real"])
def make_committer(request: pytest.FixtureRequest) -> MakeCommitter:
    if request.param == "fake":
        return FakeCommitter
    settings = make_settings(request.getfixturevalue("database"))
    return lambda: Committer(settings)


def _submit(committer: Committer, request_key: RequestKey | None = None) -> Receipt:
    return asyncio.run(committer.submit([make_acceptance("generic_topic", None, b"{}")], request_key))


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


def test_a_repeated_key_gets_the_first_receipt(make_committer: MakeCommitter) -> None:
    committer = make_committer()
    request_key = make_request_key("k", method="POST", path="/messages", body=b"{}")
    changed = make_request_key("k", method="POST", path="/messages", body=b"[]")
    committer.start()

    first, again = _submit(committer, request_key), _submit(committer, request_key)
    with pytest.raises(KeyReusedError):
        _submit(committer, changed)
    committer.stop()

    assert first.kept_until is not None
    assert not first.is_replay
    assert again == Receipt(first.ids, first.kept_until, is_replay=True)


def test_a_receipt_names_groups_behind_their_messages(make_committer: MakeCommitter) -> None:
    committer, later, earlier = make_committer(), new_id(), new_id()
    groups = (earlier, None, later, earlier)
    rows = [make_acceptance("generic_topic", None, b"{}", group_id=group) for group in groups]
    committer.start()

    receipt = asyncio.run(committer.submit(rows))
    committer.stop()

    assert receipt.ids == [*(row.id for row in rows), earlier, later]


def test_without_a_key_nothing_is_kept(make_committer: MakeCommitter) -> None:
    committer = make_committer()
    committer.start()

    receipt = _submit(committer)
    committer.stop()

    assert (len(receipt.ids), receipt.kept_until, receipt.is_replay) == (1, None, False)
