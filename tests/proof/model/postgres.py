"""A modelled PostgreSQL: transactions, snapshots, a log of commits, and what a crash, a fail-over or a restore leaves.

One call is one statement, and statements are atomic. Transactions stay open between their statements, so
commits come in any order. Transaction ids and positions that did not survive are given out again.
"""

from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import NamedTuple, TypeVar
from uuid import UUID

from herald.outbox.message.events import Event
from herald.outbox.message.state import Message
from herald.outbox.relay.cursor import Cursor
from herald.outbox.scheduler.behind import Page
from herald.outbox.scheduler.widths import Widths

DEADLOCK = 40  # tries of a statement that waits for a lock, until PostgreSQL would end it

T = TypeVar("T")


class AwayError(Exception):
    """The session is gone, or none can be had: an outage, to be tried again."""


class CommitUnknownError(AwayError):
    """COMMIT was sent and not answered."""

    def __init__(self, transaction_id: int) -> None:
        super().__init__(f"COMMIT of {transaction_id} was not answered")
        self.transaction_id = transaction_id


class BlockedError(Exception):
    """Another transaction has the row: the statement waits, which means that it is tried again later."""


def waited(statement: Callable[[], T]) -> Generator[float, None, T]:
    """The statement's result, once no other transaction has its rows. Raises AwayError for a deadlock."""
    for _ in range(DEADLOCK):
        try:
            return statement()
        except BlockedError:
            yield 0.1
    message = "a deadlock"
    raise AwayError(message)


class Row(NamedTuple):
    """A row of the log."""

    stream: UUID
    version: int
    event: Event
    topic: str | None
    transaction_id: int
    position: int
    at: float


@dataclass
class Commit:
    """What a transaction changed, as the log of commits has it; `pages` replaces all of them."""

    transaction_id: int
    messages: dict[UUID, Message] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    cursor: Cursor | None = None
    topic_ids: dict[str, str] | None = None
    pages: list[Page] | None = None
    widths: Widths | None = None
    is_aborted: bool = False


@lru_cache(maxsize=4096)
def parse(snapshot: str) -> tuple[int, int, frozenset[int]]:
    """`xmin:xmax:xip`, PostgreSQL's text form."""
    xmin, xmax, running = snapshot.split(":")
    return int(xmin), int(xmax), frozenset(int(one) for one in running.split(",") if one)


def is_visible(transaction_id: int, snapshot: str) -> bool:
    """`pg_visible_in_snapshot`."""
    _, xmax, running = parse(snapshot)
    return transaction_id < xmax and transaction_id not in running


class State:
    """What the tables hold."""

    def __init__(self) -> None:
        self.messages: dict[UUID, Message] = {}
        self.rows: list[Row] = []
        self.to_publish: list[Row] = []
        self.cursor: Cursor | None = None
        self.topic_ids: dict[str, str] = {}
        self.pages: list[Page] = []
        self.widths: Widths = {}

    def apply(self, commit: Commit) -> None:
        self.messages.update(commit.messages)
        self.rows += commit.rows
        self.to_publish += [row for row in commit.rows if row.topic is not None]
        self.cursor = commit.cursor or self.cursor
        self.topic_ids = self.topic_ids if commit.topic_ids is None else commit.topic_ids
        self.pages = self.pages if commit.pages is None else commit.pages
        self.widths = self.widths if commit.widths is None else commit.widths


class Session:
    """A connection; `is_pooled` leads through a pool that may give it another backend when its own is gone."""

    def __init__(self, database: "Database", *, is_pooled: bool = False) -> None:
        self.database = database
        self.is_alive = True
        self.is_pooled = is_pooled
        self.transaction: Transaction | None = None
        self.terms = database.terms

    def check(self) -> None:
        """Raises AwayError when the session has been lost."""
        if self.is_alive:
            return
        if not self.is_pooled or self.database.is_away or self.database.terms == self.terms:
            message = "the session was lost"
            raise AwayError(message)
        self.is_alive = True
        self.database.sessions.append(self)

    def begin(self) -> "Transaction":
        self.check()
        self.transaction = self.transaction or Transaction(self.database)
        return self.transaction

    def commit(self, *, is_durable: bool = True) -> None:
        """Commit what is open; returning means that it is on disk where `is_durable`."""
        self.check()
        if self.transaction is not None:
            self.database.commit(self.transaction, is_durable=is_durable)
            self.transaction = None

    def end(self) -> None:
        """The server rolls back and lets go of the locks."""
        self.is_alive = False
        if self.transaction is not None:
            self.database.abort(self.transaction)
            self.transaction = None
        if self.database.leader is self:
            self.database.leader = None
        if self in self.database.sessions:
            self.database.sessions.remove(self)


class Transaction:
    """What one transaction has written and locked; it sees what is committed, and its own."""

    def __init__(self, database: "Database") -> None:
        self._database = database
        self._id: int | None = None
        self.change = Commit(0)
        self.locks: set[UUID] = set()

    @property
    def id(self) -> int:
        """Given out at the first write."""
        if self._id is None:
            self._id = self._database.next_id
            self._database.next_id += 1
            self._database.running.add(self._id)
            self.change.transaction_id = self._id
        return self._id

    @property
    def has_written(self) -> bool:
        return self._id is not None

    @property
    def state(self) -> State:
        return self._database.state

    def find(self, message: UUID) -> Message | None:
        return self.change.messages.get(message) or self._database.state.messages.get(message)

    def lock(self, message: UUID) -> None:
        """Raises BlockedError while another transaction has it."""
        if self._database.locks.setdefault(message, self) is not self:
            raise BlockedError
        self.locks.add(message)

    def is_locked_elsewhere(self, message: UUID) -> bool:
        return self._database.locks.get(message, self) is not self

    def write(self, state: Message, event: Event, topic: str | None, at: float) -> None:
        """One row for the log, and the projection that it makes."""
        database = self._database
        self.change.messages[state.id] = state
        self.change.rows.append(Row(state.id, state.version, event, topic, self.id, database.next_position, at))
        database.next_position += 1


class Database:
    """One cluster at a time; `system_identifier` and `timeline` tell which."""

    def __init__(self) -> None:
        self.state = State()
        self.wal: list[Commit] = []
        self.flushed = 0
        self.next_id = 10
        self.next_position = 1
        self.newest_id = 9  # the newest that has ended
        self.running: set[int] = set()
        self.locks: dict[UUID, Transaction] = {}
        self.sessions: list[Session] = []
        self.leader: Session | None = None
        self.is_away = False
        self.system_identifier = "1"
        self.timeline = 1
        self.terms = 0
        self.on_commit: Callable[[list[Row]], None] = lambda _rows: None

    def connect(self, *, is_pooled: bool = False) -> Session:
        """Raises AwayError."""
        if self.is_away:
            message = "the server does not answer"
            raise AwayError(message)
        session = Session(self, is_pooled=is_pooled)
        self.sessions.append(session)
        return session

    def snapshot(self) -> str:
        """`pg_current_snapshot()::text`."""
        xmax = self.newest_id + 1
        running = sorted(one for one in self.running if one < xmax)
        return f"{running[0] if running else xmax}:{xmax}:{','.join(map(str, running))}"

    def status(self, transaction_id: int) -> str:
        """`pg_xact_status`. Raises AwayError for an id that was not given out: PostgreSQL reports an error."""
        if self.is_away or transaction_id >= self.next_id:
            message = f"nothing is known of transaction {transaction_id}"
            raise AwayError(message)
        if transaction_id in self.running:
            return "in progress"
        ended = next((one for one in reversed(self.wal) if one.transaction_id == transaction_id), None)
        return "aborted" if ended is None or ended.is_aborted else "committed"

    def commit(self, transaction: Transaction, *, is_durable: bool = True) -> None:
        self._end(transaction)
        if transaction.has_written:
            self._log(transaction.change)
            self.state.apply(transaction.change)
            self.on_commit(transaction.change.rows)
        if is_durable:
            self.flushed = len(self.wal)

    def abort(self, transaction: Transaction) -> None:
        self._end(transaction)
        if transaction.has_written:
            self._log(Commit(transaction.id, is_aborted=True))

    def survive(self, kept: int) -> list[Row]:
        """Go on with the first so many commits; everybody is disconnected. Returns the rows that are gone."""
        self.disconnect()
        before = self.state.rows
        self.wal = self.wal[:kept]
        self.state = State()
        for commit in self.wal:
            self.state.apply(commit)
        self.newest_id = max((one.transaction_id for one in self.wal), default=9)
        self.next_id = self.newest_id + 1
        self.next_position = max((row.position for row in self.state.rows), default=0) + 1
        self.flushed = len(self.wal)
        survivors = {(row.stream, row.version, row.transaction_id) for row in self.state.rows}
        return [row for row in before if (row.stream, row.version, row.transaction_id) not in survivors]

    def restore(self, kept: int) -> list[Row]:
        """A dump of an earlier state in a new cluster, whose transaction ids begin anew."""
        gone = self.survive(kept)
        state = self.state
        self.wal = [
            Commit(
                9,
                dict(state.messages),
                list(state.rows),
                state.cursor,
                dict(state.topic_ids),
                list(state.pages),
                state.widths,
            )
        ]
        self.system_identifier = str(int(self.system_identifier) + 1)
        self.timeline = 1
        self.newest_id, self.next_id, self.flushed = 9, 10, 1
        return gone

    def disconnect(self) -> None:
        for session in list(self.sessions):
            session.end()
        self.running.clear()
        self.locks.clear()

    def _end(self, transaction: Transaction) -> None:
        for message in transaction.locks:
            self.locks.pop(message, None)
        if transaction.has_written:
            self.running.discard(transaction.id)

    def _log(self, commit: Commit) -> None:
        self.wal.append(commit)
        self.newest_id = max(self.newest_id, commit.transaction_id)


def save_cursor(session: Session, cursor: Cursor, *, compares_epoch: bool, leap: int = 1) -> Cursor | None:
    """The compare-and-swap on the epoch; None when somebody else has moved the cursor."""
    stored = session.begin().state.cursor
    if stored is None or (compares_epoch and stored.epoch != cursor.epoch):
        session.commit()
        return None
    saved = replace(  # no save sets the floor and the identifier
        cursor, epoch=stored.epoch + leap, floor=stored.floor, system_identifier=stored.system_identifier
    )
    transaction = session.begin()
    transaction.change.cursor = saved
    _ = transaction.id
    session.commit(is_durable=False)  # the relay saves without waiting for the disk
    return replace(cursor, epoch=saved.epoch)


def visible_rows(rows: list[Row], cursor: Cursor) -> Iterator[Row]:
    """What the relay's next page is taken from: the two conditions of its SQL."""
    _, xmax, running = parse(cursor.previous)
    for row in rows:
        is_running = row.transaction_id in running
        if not is_running and (row.position <= cursor.floor or row.transaction_id < xmax):
            continue
        if cursor.target is None or (
            row.position > cursor.last_position and is_visible(row.transaction_id, cursor.target)
        ):
            yield row
