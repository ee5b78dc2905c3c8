"""Keys of the API: `hk_<id>_<secret>`, shown once. What is kept is found by the id, and holds the key's SHA-256.

A key that is rotated has a successor of the same name and owner; both are good until the overlap is over.
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.statements import execute, fetch_column, fetch_named, fetch_one, fetch_value, find_one

PREFIX = "hk_"
ID_BYTES, SECRET_BYTES = 6, 32
ID_END = len(PREFIX) + 2 * ID_BYTES
LENGTH = ID_END + 1 + 2 * SECRET_BYTES  # characters
MAX_NAME = 100  # characters


class KeyExistsError(Exception):
    """A good key has this name, or one of another owner had it: what that sent is not this one's."""


class NoKeyError(Exception):
    """No good key has this name."""


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is kept; without topics it is for all of them. Dates are the database's."""

    id: str
    name: str
    owner: str
    hash: bytes
    scopes: frozenset[str]
    topics: frozenset[str] | None
    made_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    is_expired: bool
    last_used_at: datetime | None

    @property
    def actor(self) -> str:
        """What events call it."""
        return f"key:{self.name}"

    @property
    def fault(self) -> str | None:
        """Why it is good no more."""
        return "was revoked" if self.revoked_at else "has expired" if self.is_expired else None

    def is_for(self, topic: str | None) -> bool:
        """Whether it is good for this topic, or for all of them where none is named."""
        return self.topics is None or topic in self.topics

    def fits(self, given: bytes) -> bool:
        """Whether this is the key."""
        return hmac.compare_digest(_hashed(given), self.hash)


_EXPIRED = "expires_at <= clock_timestamp()"
_GOOD = f"name = %(name)s AND revoked_at IS NULL AND ({_EXPIRED}) IS NOT TRUE"
_TAKEN = f"SELECT EXISTS (SELECT FROM api_keys WHERE {_GOOD} OR name = %(name)s AND owner <> %(owner)s)"
_LOCK = "SELECT FROM api_key_changes FOR UPDATE"  # whoever changes keys does so alone
_MAKE = """
INSERT INTO api_keys (id, name, owner, hash, scopes, topics, expires_at) VALUES (%(id)s, %(name)s, %(owner)s,
    %(hash)s, %(scopes)s, %(topics)s, clock_timestamp() + make_interval(secs => %(lifetime)s))
"""
_NEWEST = f"""
SELECT owner, scopes, topics, extract(epoch FROM expires_at - made_at)::float8
FROM api_keys WHERE {_GOOD} ORDER BY made_at DESC LIMIT 1
"""
_END = f"""
UPDATE api_keys SET expires_at = clock_timestamp() + make_interval(secs => %(overlap)s)
WHERE {_GOOD} AND id <> %(but)s AND (expires_at <= clock_timestamp() + make_interval(secs => %(overlap)s)) IS NOT TRUE
"""
_REVOKE = """
UPDATE api_keys SET revoked_at = clock_timestamp() WHERE %(name)s IN (name, id) AND revoked_at IS NULL RETURNING id
"""
_ALL = f"""
SELECT id, name, owner, hash, scopes, topics, made_at, expires_at, revoked_at, ({_EXPIRED}) IS TRUE AS is_expired,
       {{last_used_at}}
FROM api_keys {{uses}} ORDER BY name, made_at
"""
_TO_LET_IN = _ALL.format(last_used_at="NULL AS last_used_at", uses="")
_TO_SHOW = _ALL.format(last_used_at="last_used_at", uses="LEFT JOIN api_key_uses USING (id)")
_MARK = f"SELECT number, (SELECT count(*) FROM api_keys WHERE {_EXPIRED}) FROM api_key_changes"
_NOTE_USES = """
INSERT INTO api_key_uses (id, last_used_at) SELECT id, clock_timestamp() FROM unnest(%s::text[]) AS used(id) ORDER BY id
ON CONFLICT (id) DO UPDATE SET last_used_at = excluded.last_used_at
    WHERE api_key_uses.last_used_at < excluded.last_used_at - interval '1 minute'
"""


class Grant(NamedTuple):
    """What a key is given: its owner, its scopes, its topics if not all, its `lifetime` in seconds if it has an end."""

    owner: str
    scopes: Sequence[str]
    topics: Sequence[str] | None
    lifetime: float | None


def make_key(connection: Connection, name: str, grant: Grant) -> str:
    """The key itself, which is kept nowhere. In the caller's transaction. Raises KeyExistsError."""
    execute(connection, _LOCK)
    if fetch_value(connection, _TAKEN, {"name": name, "owner": grant.owner}):
        message = f"a good key has the name {name}, or one of another owner had it: rotate it, or choose another name"
        raise KeyExistsError(message)
    return _made(connection, name, grant)[1]


def rotate_key(connection: Connection, name: str, *, overlap: float, lifetime: float | None) -> str:
    """A successor of the newest, which ends after `overlap` seconds; without a `lifetime` it has that one's.

    In the caller's transaction. Raises NoKeyError.
    """
    execute(connection, _LOCK)
    found = find_one(connection, _NEWEST, {"name": name})
    if found is None:
        message = f"no good key has the name {name}"
        raise NoKeyError(message)
    before = Grant(*found)
    key_id, key = _made(connection, name, before._replace(lifetime=lifetime or before.lifetime))
    execute(connection, _END, {"name": name, "overlap": overlap, "but": key_id})
    return key


def revoke_keys(connection: Connection, name: str) -> list[str]:
    """From now on none of this name, or with this id, is good; the ids of those that were. Raises NoKeyError."""
    revoked: list[str] = fetch_column(connection, _REVOKE, {"name": name})
    if not revoked:
        message = f"no key that is not revoked has the name or id {name}"
        raise NoKeyError(message)
    return revoked


def read_keys(connection: Connection, *, uses: bool = False) -> list[ApiKey]:
    """All of them, by name; when they were used last, where that is asked: it lies in a table of its own."""
    return [
        ApiKey(
            **{
                **row,
                "hash": bytes(row["hash"]),
                "scopes": frozenset(row["scopes"]),
                "topics": None if row["topics"] is None else frozenset(row["topics"]),
            }
        )
        for row in fetch_named(connection, _TO_SHOW if uses else _TO_LET_IN)
    ]


def read_mark(connection: Connection) -> tuple[int, int]:
    """What is another value whenever keys were changed, or one has expired."""
    changes, expired = fetch_one(connection, _MARK)
    return changes, expired


def note_uses(connection: Connection, ids: Sequence[str]) -> None:
    """They were used just now; noted once a minute at most."""
    execute(connection, _NOTE_USES, list(ids))


def _made(connection: Connection, name: str, grant: Grant) -> tuple[str, str]:
    """Its id, and the key itself."""
    key_id = secrets.token_hex(ID_BYTES)
    key = f"{PREFIX}{key_id}_{secrets.token_hex(SECRET_BYTES)}"
    lists = {"scopes": list(grant.scopes), "topics": grant.topics and list(grant.topics)}
    row = {**grant._asdict(), **lists, "id": key_id, "name": name, "hash": _hashed(key.encode())}
    execute(connection, _MAKE, row)
    return key_id, key


def _hashed(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
