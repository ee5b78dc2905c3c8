"""Idempotency keys: a repeated request is answered as it was the first time, and nothing is done twice.

A key is stored in the transaction of what it asked for, with the ids of the answer and a fingerprint
of the request: no bodies. Whoever handles a key holds an advisory lock on it until that transaction
ends, so nobody waits: a unique index alone would let every repetition wait for the first, with a
connection each. The lock is tried in a statement of its own, before the look-up: a look-up in the same
statement has a snapshot from before the lock was had, and misses what its last holder committed.
That needs READ COMMITTED, where each statement sees what is committed when it begins.

Two tables take turns. One is written for twice the time that keys are kept; in the first half of the
next turn its last rows expire, in the second half the scheduler empties it. (With turns as long as
keys are kept, the last row would expire at the moment when the table is written again.) Whose turn it
is, and what is expired, tells the database's clock alone. Look-ups read both tables and mind nothing
but each row's own date, so the time may be changed, and differ between processes, at any moment.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from uuid import UUID

import msgspec

from herald.outbox.postgres.driver import Connection
from herald.outbox.postgres.locks import SCHEMA
from herald.outbox.postgres.statements import fetch, fetch_value

TABLES = ("idempotency_keys_even", "idempotency_keys_odd")
HASH_BYTES = 16  # of a SHA-256: it fits a uuid
_encode = msgspec.json.Encoder().encode

# The lock is one number of 64 bits, with the schema's oid in its upper half: of a second key's 32 bits a thousand keys
# at once would find each other in use by mistake, and now and then the leader's.
_TRY_LOCK = f"""
SELECT key::text, pg_try_advisory_xact_lock(id # ({SCHEMA}::bigint << 32))
FROM unnest(%s::text[], %s::bigint[]) AS asked(key, id)
"""

# Both tables know a key after the clock was set back over the end of a turn: the later row answers.
_LOOK_UP = """
SELECT DISTINCT ON (key) key::text, fingerprint::text, ids::text[], kept_until
FROM (
    SELECT * FROM idempotency_keys_even WHERE key = ANY (%(keys)s::uuid[])
    UNION ALL
    SELECT * FROM idempotency_keys_odd WHERE key = ANY (%(keys)s::uuid[])
) AS stored
WHERE kept_until > clock_timestamp()
ORDER BY key, kept_until DESC
"""

# What conflicts is expired, or the look-up would have found it; it stays where the scheduler was away.
_REMEMBER = """
WITH clock AS MATERIALIZED (SELECT clock_timestamp() AS at),
asked AS MATERIALIZED (
    SELECT key, fingerprint, ids, at + make_interval(secs => %(ttl)s) AS kept_until,
           floor(extract(epoch FROM at) / (2 * %(ttl)s))::bigint %% 2 = 0 AS is_even
    FROM jsonb_to_recordset(%(rows)s::jsonb) AS r(key uuid, fingerprint uuid, ids uuid[]), clock
),
even AS (
    INSERT INTO idempotency_keys_even SELECT key, fingerprint, ids, kept_until FROM asked WHERE is_even
    ON CONFLICT (key) DO UPDATE
        SET fingerprint = excluded.fingerprint, ids = excluded.ids, kept_until = excluded.kept_until
),
odd AS (
    INSERT INTO idempotency_keys_odd SELECT key, fingerprint, ids, kept_until FROM asked WHERE NOT is_even
    ON CONFLICT (key) DO UPDATE
        SET fingerprint = excluded.fingerprint, ids = excluded.ids, kept_until = excluded.kept_until
)
SELECT kept_until FROM asked LIMIT 1
"""


class KeyInUseError(Exception):
    """Another transaction is handling this key: try again once it has ended."""


class KeyReusedError(Exception):
    """The key belongs to another request."""


class RequestKey(msgspec.Struct, frozen=True):
    """A caller's key and what was asked under it, both as hashes."""

    key: UUID
    fingerprint: UUID


class Receipt(msgspec.Struct, frozen=True, gc=False):
    """What a caller is answered: ids in the order of the request, and until when a repetition gets the same.

    Those of groups come last. `at` is when it was accepted, by the database's clock.
    """

    ids: Sequence[UUID]
    kept_until: datetime | None = None
    is_replay: bool = False
    at: datetime | None = None


Known = Receipt | KeyInUseError | KeyReusedError


def make_request_key(key: str, *, owner: str | None = None, method: str, path: str, body: bytes) -> RequestKey:
    """Hash what identifies a request; two bodies that mean the same are different ones. An owner's keys are its own."""
    owned = [key.encode()] if owner is None else [owner.encode(), key.encode()]
    return RequestKey(_hashed(*owned), _hashed(method.encode(), path.encode(), body))


def find(connection: Connection, request_key: RequestKey) -> Receipt | None:
    """The first answer, or None: then the key is locked, and to be remembered in this very transaction.

    Raises KeyInUseError, KeyReusedError and PostgresError.
    """
    known = find_many(connection, [request_key]).get(request_key)
    if isinstance(known, Exception):
        raise known
    return known


def remember(connection: Connection, request_key: RequestKey, ids: Sequence[UUID], *, ttl: float) -> Receipt:
    """Store the answer in the caller's transaction, for `ttl` seconds; `find` came before."""
    return Receipt(ids, remember_many(connection, {request_key: ids}, ttl=ttl))


def find_many(connection: Connection, request_keys: Collection[RequestKey]) -> dict[RequestKey, Known]:
    """What is known of these; whose answer is missing is new and locked. Asks nothing for none."""
    if not request_keys:
        return {}
    locked = _try_lock(connection, {one.key for one in request_keys})
    stored = _look_up(connection, [key for key, is_locked in locked.items() if is_locked])
    found: dict[RequestKey, Known] = {}
    for one in request_keys:
        if not locked[one.key]:
            found[one] = KeyInUseError("another request with this key is being handled")
        elif one.key in stored:
            found[one] = _judged(one, *stored[one.key])
    return found


def remember_many(connection: Connection, answers: Mapping[RequestKey, Sequence[UUID]], *, ttl: float) -> datetime:
    """Store all of them in the caller's transaction; returns until when. Their keys are found new and locked."""
    rows = [{"key": one.key, "fingerprint": one.fingerprint, "ids": ids} for one, ids in answers.items()]
    kept_until: datetime = fetch_value(connection, _REMEMBER, {"rows": _encode(rows).decode(), "ttl": ttl})
    return kept_until


def _hashed(*parts: bytes) -> UUID:
    digest = hashlib.sha256()
    for part in parts[:-1]:
        digest.update(part + b"\0")
    digest.update(parts[-1])
    return UUID(bytes=digest.digest()[:HASH_BYTES])


def _lock_id(key: UUID) -> int:
    return int.from_bytes(key.bytes[:8], signed=True)


def _try_lock(connection: Connection, keys: Collection[UUID]) -> dict[UUID, bool]:
    found = fetch(connection, _TRY_LOCK, [str(key) for key in keys], [_lock_id(key) for key in keys])
    return {UUID(key): is_locked for key, is_locked in found}


def _look_up(connection: Connection, keys: Collection[UUID]) -> dict[UUID, tuple[UUID, Receipt]]:
    if not keys:
        return {}
    found = fetch(connection, _LOOK_UP, {"keys": [str(key) for key in keys]})
    return {
        UUID(key): (UUID(fingerprint), Receipt([UUID(one) for one in ids], kept_until, is_replay=True))
        for key, fingerprint, ids, kept_until in found
    }


def _judged(asked: RequestKey, fingerprint: UUID, receipt: Receipt) -> Receipt | KeyReusedError:
    if asked.fingerprint != fingerprint:
        return KeyReusedError("this key belongs to another request")
    return receipt
