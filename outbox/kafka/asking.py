"""Asking Kafka again and again through one admin client, and giving that client up when nothing answers it."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from herald.outbox.kafka.clients import abandon, is_silence, make_admin
from herald.outbox.settings import Settings
from herald.outbox.watched.life import came_by
from herald.outbox.watched.servers import KAFKA, SERVERS

T = TypeVar("T")
Ask = Callable[[Callable[[AdminClient], T]], T]
_log = structlog.get_logger()


class Asking:
    """`ask` it from one thread. After a silence as long as the patience `on_silence` is called, once.

    That decides: where it returns true, a new client takes over here; otherwise nothing changes.
    """

    def __init__(self, settings: Settings, admin: AdminClient, on_silence: Callable[[], bool]) -> None:
        self._settings = settings
        self._admin = admin
        self._on_silence = on_silence
        self._answered_at = time.monotonic()

    def ask(self, question: Callable[[AdminClient], T]) -> T:
        """What the question returns; it is given the client. Raises what it raises, KafkaException above all."""
        try:
            answer = question(self._admin)
        except KafkaException as error:
            if is_silence(error):
                SERVERS.lost(KAFKA)
                self._look_at_clock()
            else:
                self._note_answer()
            raise
        self._note_answer()
        return answer

    def close(self) -> None:
        """Let go of the client."""
        abandon(self._admin)

    def _note_answer(self) -> None:
        self._answered_at = time.monotonic()
        SERVERS.found(KAFKA)
        came_by()

    def _look_at_clock(self) -> None:
        silent_for = time.monotonic() - self._answered_at
        if silent_for > self._settings.kafka_patience and self._on_silence():
            _log.warning("kafka_admin_replaced", silent_seconds=round(silent_for, 1))
            abandon(self._admin)
            self._admin = make_admin(self._settings)
            self._answered_at = time.monotonic()
