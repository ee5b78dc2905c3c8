"""Who asks: the keys as the database has them, and what a request shows.

A thread reads a counter of changes every quarter of a second, and the keys when it has moved. A process that could not
for a second lets nobody in: it may have been frozen, or cut off, while a key was revoked.
"""

import math
import threading
import time
from collections.abc import Mapping
from contextlib import closing
from http import HTTPStatus

import structlog
from litestar.types import HTTPScope

from herald.api.http.access import ACCESS, EVERYBODY, NOBODY
from herald.api.http.origins import refuse_foreign, refuse_rebound
from herald.api.http.problems import HttpRequest, ProblemError, unavailable
from herald.api.http.refusals import Reason, Refusals
from herald.api.http.requests import GIVEN
from herald.outbox.acceptance.api_keys import ID_END, LENGTH, PREFIX, ApiKey, note_uses, read_keys, read_mark
from herald.outbox.moves.cancel import Reach
from herald.outbox.postgres.connections import connect_watched, reason
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.postgres.statements import execute
from herald.outbox.settings import Settings
from herald.outbox.threads import Thread
from herald.outbox.watched.life import came_by, living

STATE = "gate"
LOOK = 0.25  # seconds between two looks at the counter
STALE = 1.0  # seconds after which what was read last counts no more
AGAIN = 1.0  # seconds until the next try where the database does not answer
PATIENCE = 1.0  # seconds that a statement may take
NOTED = 60.0  # seconds between two notes that a key was used
FIRST_LOOK = 1.0  # seconds that the start waits for it
HINT = "`herald keys create` makes one"
_BEARER = b"bearer "
_PREFIX = PREFIX.encode()
_TOLD = frozenset({b"host", b"origin", b"sec-fetch-site", b"authorization", *GIVEN})
_log = structlog.get_logger()
Headers = Mapping[bytes, bytes]


def told(scope: HTTPScope) -> Headers:
    """Who asks, and from where, as the request's headers say: in one pass over them, for every request."""
    return {name: value for name, value in scope["headers"] if name in _TOLD}


class Gate:
    """One per process."""

    def __init__(self, settings: Settings) -> None:
        self.is_open = settings.open == "yes"
        self.refusals = Refusals()
        self._settings = settings.model_copy(update={"statement_timeout": PATIENCE})
        self._keys: dict[bytes, ApiKey] = {}
        self._read_at = -math.inf  # by the monotonic clock: when that was asked of which the keys are the answer
        self._has_looked, self._stop = threading.Event(), threading.Event()
        self._used: set[str] = set()
        self._noted: dict[str, float] = {}

    def start(self) -> None:
        """Read the keys, and go on to do so; returns after a second where the database is away."""
        if self.is_open:
            _log.warning("api_is_open", reason="HERALD_OPEN=yes: whoever reaches the address needs no key")
            return
        Thread(self._run, "keys").start()
        self._has_looked.wait(FIRST_LOOK)

    def stop(self) -> None:
        """Read no more."""
        self._stop.set()

    def refuse_pages(self, scope: HTTPScope, headers: Headers) -> None:
        """Raises ProblemError: 403 for what a page of somebody else's has a browser ask."""
        try:
            refuse_foreign(scope["method"], headers)
            if self.is_open:
                refuse_rebound(headers, self._settings.host)
        except ProblemError:
            self.refusals.count_access("foreign_page", "a foreign page asks", time.monotonic())
            raise

    def let_in(self, scope: HTTPScope, headers: Headers, route: tuple[str, str]) -> None:
        """Leaves the caller's key in the scope, where one is needed. Raises ProblemError: 401, 403 or 503."""
        scope["auth"] = None
        needed = ACCESS.get(route, NOBODY)
        if needed is EVERYBODY:
            return
        if not needed:
            raise self.refused("scope", "nobody may use this route", HTTPStatus.FORBIDDEN)
        if self.is_open:
            return
        key = self._key_of(headers.get(b"authorization"))
        if not key.scopes & needed:
            wanted = " or ".join(sorted(needed))
            raise self.refused("scope", f"the key {key.name} lacks the scope {wanted}", HTTPStatus.FORBIDDEN)
        self._used.add(key.id)
        scope["auth"] = key

    def confirm(self, key: ApiKey) -> ApiKey:
        """The key as it is now: it may have been revoked while a body came. Raises ProblemError."""
        self._check_fresh()
        found = self._keys.get(key.id.encode())
        if found is None:
            raise self.refused("wrong_key", f"the key {key.name} is gone")
        return self._good(found)

    def refused(self, reason: Reason, detail: str, status: HTTPStatus = HTTPStatus.UNAUTHORIZED) -> ProblemError:
        """What to raise; it is counted."""
        self.refusals.count_access(reason, detail, time.monotonic())
        headers = {"www-authenticate": "Bearer"} if status == HTTPStatus.UNAUTHORIZED else None
        return ProblemError(status, detail, headers=headers)

    def _good(self, key: ApiKey) -> ApiKey:
        if key.fault:
            raise self.refused("revoked_key" if key.revoked_at else "expired_key", f"the key {key.name} {key.fault}")
        return key

    def actors_of(self, owner: str) -> frozenset[str]:
        """What events call its keys, also those that are good no more."""
        return frozenset(key.actor for key in self._keys.values() if key.owner == owner)

    def _key_of(self, sent: bytes | None) -> ApiKey:
        if sent is None or sent[: len(_BEARER)].lower() != _BEARER:
            what = "a key is needed" if self._keys else f"there is no key yet ({HINT})"
            raise self.refused("no_key", f"{what}: Authorization: Bearer {PREFIX}…")
        given = sent[len(_BEARER) :].strip()
        found = self._keys.get(given[len(_PREFIX) : ID_END]) if len(given) == LENGTH else None
        self._check_fresh()
        if found is None or not found.fits(given):
            raise self.refused("wrong_key", "no such key" if self._keys else f"there is no key yet: {HINT}")
        return self._good(found)

    def _check_fresh(self) -> None:
        if time.monotonic() - self._read_at > STALE:
            raise unavailable("the keys cannot be read now, try again")

    def _run(self) -> None:
        with living("keys"):
            while not self._stop.is_set():
                came_by()
                try:
                    with closing(connect_watched(self._settings, "herald-keys")) as connection:
                        self._follow(connection)
                except Exception as error:  # noqa: BLE001 - without this thread nobody is let in any more
                    _log.warning("keys_not_read", reason=reason(error), next_try_seconds=AGAIN)
                self._stop.wait(AGAIN)

    def _follow(self, connection: Connection) -> None:
        """Raises PostgresError."""
        connection.autocommit = True
        execute(connection, "SET lock_timeout = '100ms'")
        mark = None
        while not self._stop.is_set():
            asked_at, now = time.monotonic(), read_mark(connection)
            if now != mark:
                self._keys = {key.id.encode(): key for key in read_keys(connection)}
                mark = now
            self._read_at = asked_at
            if not self._has_looked.is_set() and not self._keys:
                _log.warning("no_api_key", advice=HINT)
            self._has_looked.set()
            self._note_uses(connection)
            self._stop.wait(LOOK)

    def _note_uses(self, connection: Connection) -> None:
        now, used = time.monotonic(), list(self._used)
        due = [one for one in used if now - self._noted.get(one, -math.inf) > NOTED]
        if not due:
            return
        self._noted |= dict.fromkeys(due, now)
        self._used.difference_update(due)
        try:
            note_uses(connection, due)
        except PostgresError as error:  # read-only, or locked by somebody: the keys are read all the same
            _log.warning("key_use_not_noted", reason=reason(error))


def key_of(request: HttpRequest) -> ApiKey | None:
    """Who asks, as good now as when the request began; None where no key is needed. Raises ProblemError."""
    key: ApiKey | None = request.scope["auth"]
    gate: Gate = request.app.state[STATE]
    return key and gate.confirm(key)


def reach_of(request: HttpRequest) -> Reach:
    """What may be taken back or sent again: what keys of its owner sent, or all for one that decides.

    Raises ProblemError.
    """
    key = key_of(request)
    if key is None or "decide" in key.scopes:
        return Reach()
    gate: Gate = request.app.state[STATE]
    return Reach(key.topics, gate.actors_of(key.owner))


def actor_of(request: HttpRequest) -> str | None:
    """What events call who asks. Raises ProblemError."""
    key = key_of(request)
    return key.actor if key else None


def key_for(request: HttpRequest, topic: str | None) -> ApiKey | None:
    """The same, for a topic, or for all of them. Raises ProblemError: 403 beside the others."""
    key = key_of(request)
    if key and key.topics is not None and not key.is_for(topic):
        topics = ", ".join(sorted(key.topics))
        gate: Gate = request.app.state[STATE]
        raise gate.refused("topic", f"the key {key.name} is for these topics only: {topics}", HTTPStatus.FORBIDDEN)
    return key
