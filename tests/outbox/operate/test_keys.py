"""`herald keys`, as an operator types it."""

from contextlib import closing
from functools import partial

import pytest

from herald.outbox.acceptance.api_keys import ApiKey, read_keys
from herald.outbox.operate.keys import command
from tests.outbox.operate.conftest import Run
from tests.servers.postgres import connect_to_tables


@pytest.fixture
def run(run: Run) -> Run:
    """Of this command."""
    return partial(run, command)


def _keys(database: str) -> list[ApiKey]:
    with closing(connect_to_tables(database)) as connection:
        return read_keys(connection, uses=True)


def test_a_key_is_shown_once_and_not_kept(run: Run, database: str) -> None:
    made = run("create", "shop", "--scope", "send", "--scope", "read:content").output.strip()

    (kept,) = _keys(database)
    assert kept.fits(made.encode())
    assert made[3:15] == kept.id
    assert (kept.name, kept.owner, kept.scopes, kept.topics) == (
        "shop",
        "shop",
        frozenset({"send", "read:content"}),
        None,
    )
    assert made[16:] not in repr(kept)
    shown = run("list").output
    assert kept.id in shown
    assert made[16:] not in shown


def test_a_key_has_an_owner_topics_and_an_end(run: Run, database: str) -> None:
    run("create", "shop-1", "--scope", "send", "--topic", "generic_topic", "--owner", "shop", "--days", "2")

    (kept,) = _keys(database)
    assert (kept.owner, kept.topics) == ("shop", frozenset({"generic_topic"}))
    assert kept.expires_at
    assert 1.99 < (kept.expires_at - kept.made_at).total_seconds() / 86_400 < 2.01


def test_a_rotated_key_has_a_successor_and_ends_after_the_overlap(run: Run, database: str) -> None:
    first = run("create", "shop", "--scope", "send", "--topic", "notifications", "--days", "30").output.strip()

    second = run("rotate", "shop", "--overlap", "0.5").output.strip()

    old, new = _keys(database)
    assert old.fits(first.encode())
    assert new.fits(second.encode())
    assert (new.owner, new.scopes, new.topics) == (old.owner, old.scopes, old.topics)
    assert old.expires_at
    assert new.expires_at
    assert (old.expires_at - new.made_at).total_seconds() < 43_300
    assert 29 < (new.expires_at - new.made_at).total_seconds() / 86_400 < 31
    assert (old.fault, new.fault) == (None, None)


def test_an_overlap_makes_no_key_last_longer(run: Run, database: str) -> None:
    run("create", "shop", "--scope", "send", "--days", "1")
    (before,) = _keys(database)

    run("rotate", "shop", "--overlap", "2")

    assert _keys(database)[0].expires_at == before.expires_at


def test_all_keys_of_a_name_are_revoked_or_one_by_its_id(run: Run, database: str) -> None:
    run("create", "shop", "--scope", "send")
    run("rotate", "shop")
    first, second = (one.id for one in _keys(database))

    assert first in run("revoke", first).output
    assert [one.fault for one in _keys(database)] == ["was revoked", None]
    assert second in run("revoke", "shop").output
    assert [one.fault for one in _keys(database)] == ["was revoked"] * 2
    assert first not in run("list").output
    assert first in run("list", "--all").output
    assert run("create", "shop", "--scope", "send").exit_code == 0


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("create", "shop", "--scope", "send"), "rotate it, or choose another name"),
        (("create", "two words", "--scope", "send"), "must be 1 to 100 of"),
        (("create", "other"), "--scope"),
        (("create", "other", "--scope", "everything"), "everything"),
        (("create", "other", "--scope", "decide", "--topic", "notifications"), "--topic limits no key"),
        (("create", "other", "--scope", "send", "--days", "0"), "--days"),
        (("rotate", "other"), "no good key has the name other"),
        (("revoke", "other"), "no key that is not revoked has the name or id other"),
    ],
)
def test_what_cannot_be_done_is_said(run: Run, database: str, arguments: tuple[str, ...], said: str) -> None:
    run("create", "shop", "--scope", "send")

    done = run(*arguments)

    assert done.exit_code != 0
    assert said in " ".join(done.output.split())
    assert len(_keys(database)) == 1


def test_a_name_stays_its_owners_when_the_key_is_revoked(run: Run) -> None:
    create = ("create", "shop", "--scope", "send")
    run(*create)
    run("revoke", "shop")

    assert run(*create, "--owner", "another").exit_code == 1
    assert run(*create).exit_code == 0
