"""What stands in for the committer; `test_committers.py` pins it to the real one."""

from collections.abc import Sequence
from datetime import UTC, datetime
from uuid import UUID

from herald.outbox.acceptance.committer import Committer, UnavailableError
from herald.outbox.acceptance.idempotency import KeyReusedError, Receipt, RequestKey
from herald.outbox.moves.accept import Acceptance, groups_of

KEPT_UNTIL = datetime(2026, 11, 25, 12, 30, 15, 999999, tzinfo=UTC)


class FakeCommitter(Committer):
    """Keeps what it is given, and its keys for ever; fails with `failure` when that is set."""

    def __init__(self) -> None:
        self.accepted: list[Acceptance] = []
        self.failure: Exception | None = None
        self._first: dict[UUID, tuple[UUID, list[UUID]]] = {}
        self._running = False

    def start(self) -> None:
        self._running = True

    def stop(self) -> None:
        self._running = False

    @property
    def is_alive(self) -> bool:
        return self._running

    async def submit(self, acceptances: Sequence[Acceptance], request_key: RequestKey | None = None) -> Receipt:
        if not self._running:
            message = "the committer is not running"
            raise UnavailableError(message)
        if self.failure is not None:
            raise self.failure
        if request_key is not None and request_key.key in self._first:
            fingerprint, ids = self._first[request_key.key]
            if fingerprint != request_key.fingerprint:
                raise KeyReusedError
            return Receipt(ids, KEPT_UNTIL, is_replay=True)
        self.accepted.extend(acceptances)
        ids = [*(one.id for one in acceptances), *groups_of(acceptances)]
        if request_key is None:
            return Receipt(ids, at=datetime.now(UTC))
        self._first[request_key.key] = (request_key.fingerprint, ids)
        return Receipt(ids, KEPT_UNTIL, at=datetime.now(UTC))
