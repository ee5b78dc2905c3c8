"""What Kafka knows, asked while the database is: what waits for one does not wait for the other."""

from collections.abc import Callable, Mapping
from concurrent.futures import Future
from typing import Any, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, abandon, explanation, make_admin
from herald.outbox.kafka.offsets import Offsets, partitions_of, read_committed, read_end_offsets
from herald.outbox.kafka.owner import find_owner
from herald.outbox.kafka.topics import names
from herald.outbox.registry import DEAD_LETTERS
from herald.outbox.settings import Settings
from herald.outbox.threads import Thread

T = TypeVar("T")
Told = dict[str, Any]


class Kafka:
    """Asked again and again by the same client, as long as it is answered."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._admin: AdminClient | None = None

    def ask(self) -> Callable[[Settings], Told]:
        """Begin to ask; call what comes back once it is known whose group is meant.

        What Kafka cannot answer within five seconds becomes the `error`, which says why the rest is empty. `owner` is
        the instance whose topics these are, None where nobody's or where `owner_error` says why it is not known.
        """
        admin = self._admin = self._admin or make_admin(self._settings)
        ends = begin(lambda: _read_ends(admin))
        owner = begin(lambda: find_owner(self._settings, admin))

        def answer(own: Settings) -> Told:
            told = {"brokers": 0, "group": own.group, "owner": None, "owner_error": None, "topics": {}, "error": None}
            try:
                brokers, found = ends.result()
                committed = read_committed(own, {name: map(int, ends) for name, ends in found.items()})
            except KafkaException as error:
                abandon(admin)
                self._admin = None
                return {**told, "error": explanation(error)}
            told["brokers"] = brokers
            told["topics"] = {name: _topic(name, found[name], committed.get(name, {})) for name in found}
            try:
                told["owner"] = owner.result()
            except KafkaException as error:
                told["owner_error"] = explanation(error)
            return told

        return answer


def _read_ends(admin: AdminClient) -> tuple[int, Offsets]:
    """How many brokers there are, and where the topics end, in the order of their names here."""
    metadata = admin.list_topics(timeout=ANSWER_TIMEOUT)
    ends = read_end_offsets(admin, partitions_of(metadata, names()))
    return len(metadata.brokers), {name: ends[name] for name in names() if name in ends}


def _topic(name: str, ends: Mapping[str, int], committed: Mapping[str, int]) -> dict[str, int | None]:
    """`records` is the sum of the end offsets; `lag` is None where the group has no part in it."""
    behind = sum(end - committed.get(partition, 0) for partition, end in ends.items())
    return {"partitions": len(ends), "records": sum(ends.values()), "lag": behind if name != DEAD_LETTERS else None}


def begin(act: Callable[[], T]) -> Future[T]:
    """In a thread that keeps no process from its end."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(act())
        except BaseException as error:  # noqa: BLE001 - whoever waits for it gets it
            future.set_exception(error)

    Thread(run, "asking-kafka").start()
    return future
