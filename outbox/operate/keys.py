"""`herald keys`: who may ask the API, and what for."""

import re

import rich_click as click

from herald.outbox.acceptance.api_keys import (
    MAX_NAME,
    ApiKey,
    Grant,
    KeyExistsError,
    NoKeyError,
    make_key,
    read_keys,
    revoke_keys,
    rotate_key,
)
from herald.outbox.operate.opening import desk
from herald.outbox.operate.shown import listed, show
from herald.outbox.postgres.registered import learn_names
from herald.outbox.registry import SCOPES, registered_topics

NAME = "herald-keys"
DAY = 86_400.0  # seconds
_ABOUT_ALL = {"decide", "operate"}  # scopes that no topic limits
_NAME = re.compile(rf"[A-Za-z0-9][A-Za-z0-9._-]{{0,{MAX_NAME - 1}}}")
_SCOPES_HELP = "\n\n".join(f"{name}: {meaning}." for name, meaning in SCOPES.items())
days = click.FloatRange(0, 36_500, min_open=True)


def plain(given: str) -> str:
    """A name without what a log or an address could take for something else. Raises BadParameter."""
    if _NAME.fullmatch(given):
        return given
    message = f"must be 1 to {MAX_NAME} of A to Z, a to z, 0 to 9, `.`, `_` and `-`, and begin with a letter or digit"
    raise click.BadParameter(message)


@click.group("keys")
def command() -> None:
    """Make, list, rotate and revoke the keys of the API.

    Reads DATABASE_URL, as whoever runs the migrations: the roles of the processes may not write keys. What is
    changed holds in every process of the API within a second.
    """


@command.command("create", epilog=_SCOPES_HELP)
@click.argument("name", type=plain)
@click.option("--scope", "scopes", type=click.Choice(list(SCOPES)), multiple=True, required=True, help="What for.")
@click.option("--topic", "topics", multiple=True, help="Only for these topics.")
@click.option("--owner", type=plain, help="Whose Idempotency-Keys it shares.  [default: NAME]")
@click.option("--days", type=days, help="How long it is good.  [default: until it is revoked]")
def create_command(
    name: str, *, scopes: tuple[str, ...], topics: tuple[str, ...], owner: str | None, days: float | None
) -> None:
    """Make a key, and print it: it is kept nowhere, and never shown again.

    NAME is what events say of it.
    """
    if topics and _ABOUT_ALL & {*scopes}:
        raise click.UsageError(f"--topic limits no key with the scope {' or '.join(sorted(_ABOUT_ALL & {*scopes}))}")
    with desk(NAME, KeyExistsError) as (_, connection):
        learn_names(connection)
        if unknown := sorted({*topics} - {*registered_topics()}):
            raise click.BadParameter(
                f"no such topic: {', '.join(unknown)}; there are: {', '.join(registered_topics())}"
            )
        key = make_key(connection, name, Grant(owner or name, scopes, topics or None, _seconds(days)))
    click.echo(key)


@command.command("list")
@click.option("--all", "is_all", is_flag=True, help="Those too that are good no more.")
def list_command(*, is_all: bool) -> None:
    """List the keys: not themselves, but what they are for, and when each was used last, to the minute."""
    with desk(NAME) as (_, connection):
        found = [one for one in read_keys(connection, uses=True) if is_all or not one.fault]
    names = ("name", "id", "owner", "scopes", "topics", "made", "expires", "last used", "state")
    show(listed(names, map(_cells, found)))


@command.command("rotate")
@click.argument("name", type=plain)
@click.option("--overlap", type=days, default=1.0, show_default=True, help="Days that the old one is good as well.")
@click.option("--days", type=days, help="How long the new one is good.  [default: as long as the old one]")
def rotate_command(name: str, *, overlap: float, days: float | None) -> None:
    """Make a successor of the same name, owner, scopes and topics, and print it; the old one ends later."""
    with desk(NAME, NoKeyError) as (_, connection):
        key = rotate_key(connection, name, overlap=overlap * DAY, lifetime=_seconds(days))
    click.echo(key)


@command.command("revoke")
@click.argument("name")
def revoke_command(name: str) -> None:
    """End a key within a second: all of a name, or the one with an id."""
    with desk(NAME, NoKeyError) as (_, connection):
        revoked = revoke_keys(connection, name)
    click.echo(f"revoked: {', '.join(revoked)}")


def _seconds(days: float | None) -> float | None:
    return None if days is None else days * DAY


def _cells(one: ApiKey) -> tuple[object, ...]:
    topics = "all" if one.topics is None else ", ".join(sorted(one.topics))
    scopes = ", ".join(name for name in SCOPES if name in one.scopes)
    state = one.fault or "good"
    return one.name, one.id, one.owner, scopes, topics, one.made_at, one.expires_at, one.last_used_at, state
