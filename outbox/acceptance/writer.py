"""One transaction for many commands: what repeats an earlier request is answered, all else is written."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from uuid import UUID, uuid4

from herald.outbox.acceptance.idempotency import Known, Receipt, RequestKey, find_many, remember_many
from herald.outbox.acceptance.submitted import Command, Outcome
from herald.outbox.crash_points import reach
from herald.outbox.moves.accept import accept, make_acceptance
from herald.outbox.postgres.commit import CommitUnknownError, commit, committed_after_all
from herald.outbox.postgres.connections import is_outage
from herald.outbox.postgres.driver import Connection, PostgresError

READ_ONLY = "25006"  # SQLSTATE; a session that began read-only stays so when others may write again


class Writer:
    """A connection that is replaced when it is dead; `ttl` is for how many seconds keys are kept."""

    def __init__(self, open_connection: Callable[[], Connection], *, ttl: float) -> None:
        self._open = open_connection
        self._ttl = ttl
        self._connection: Connection | None = None

    def write(self, commands: Sequence[Command]) -> list[Outcome | None]:
        """What became of each, in order; None is for a later transaction: its key is first written in this one.

        Raises CommitUnknownError or NotReplicatedError where they may be written, but not safely; after any other
        error none of them is. A connection that turns out to be dead is replaced once.
        """
        is_fresh = self._connection is None
        try:
            return self._write_once(commands)
        except Exception as error:
            self._give_back(error)
            if is_fresh or not is_outage(error) or self._connection is not None:
                raise
            return self._write_once(commands)

    def probe(self) -> None:
        """Write what is known to be good, under a key of its own, and undo it: the witness for what fails alone.

        Raises what stands in everybody's way.
        """
        if self._connection is None:
            self._connection = self._open()
        good = make_acceptance("generic_topic", None, b"{}")
        request_key = RequestKey(uuid4(), uuid4())
        try:
            find_many(self._connection, [request_key])
            accept(self._connection, [good])
            remember_many(self._connection, {request_key: [good.id]}, ttl=self._ttl)
            self._connection.rollback()
        except Exception as error:
            self._give_back(error)
            raise

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()

    def _write_once(self, commands: Sequence[Command]) -> list[Outcome | None]:
        if self._connection is None:
            self._connection = self._open()
        request_keys = {one.request_key for one in commands if one.request_key is not None}
        if not request_keys:
            _, at = self._accept(self._connection, commands)
            return [Receipt(one.ids, at=at) for one in commands]
        known = find_many(self._connection, request_keys)
        receipts = self._accept_fresh(self._connection, _fresh(commands, known))
        return [receipts.get(one) or (known.get(one.request_key) if one.request_key else None) for one in commands]

    def _accept_fresh(self, connection: Connection, commands: Sequence[Command]) -> dict[Command, Receipt]:
        if not commands:
            connection.rollback()  # the locks of the keys end with the transaction
            return {}
        kept_until, at = self._accept(connection, commands)
        return {one: Receipt(one.ids, kept_until if one.request_key else None, at=at) for one in commands}

    def _accept(self, connection: Connection, commands: Sequence[Command]) -> tuple[datetime | None, datetime]:
        """Write and commit them; returns until when their keys are kept, where there are any, and the date."""
        transaction_id, at = accept(connection, [row for command in commands for row in command.rows])
        answers = {one.request_key: one.ids for one in commands if one.request_key is not None}
        kept_until = remember_many(connection, answers, ttl=self._ttl) if answers else None
        self._commit(connection, transaction_id, commands[0].ids[0])
        return kept_until, at

    def _commit(self, connection: Connection, transaction_id: int, stream_id: UUID) -> None:
        reach("api.written")
        try:
            commit(connection, transaction_id)
        except CommitUnknownError as unanswered:
            self._connection = None
            if not committed_after_all(self._open, unanswered, stream_id):
                raise

    def _give_back(self, error: Exception) -> None:
        """Roll back, or forget the connection when that fails too, or when it began where nothing can be written."""
        try:
            if self._connection is not None:
                self._connection.rollback()
        except PostgresError:
            self._connection = None
        if isinstance(error, PostgresError) and error.pgcode == READ_ONLY:
            self.close()
            self._connection = None


def _fresh(commands: Sequence[Command], known: Mapping[RequestKey, Known]) -> list[Command]:
    """Those to be written now: of several with one new key only the first, for the others depend on its fate."""
    fresh: list[Command] = []
    begun = set()
    for command in commands:
        request_key = command.request_key
        if request_key is None:
            fresh.append(command)
        elif request_key not in known and request_key.key not in begun:
            begun.add(request_key.key)
            fresh.append(command)
    return fresh
