"""One relay's time as the leader: stretches of publishing, between which it is settled what is withheld.

A stretch that finds a partition without a leader, or a topic that is not there, ends; what belongs to it is withheld
from the stored cursor on, and the next stretch goes on from there with a new producer, in the same session. Nothing
of the part is in that producer: the old one is purged, and what of it Kafka may still take late are copies.
"""

import threading

import structlog
from confluent_kafka import KafkaException

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, ask_anew
from herald.outbox.postgres.driver import Connection
from herald.outbox.relay.catching_up import CatchingUp
from herald.outbox.relay.cursor import Cursor
from herald.outbox.relay.errors import PublishError, WithheldError
from herald.outbox.relay.judging import Judge
from herald.outbox.relay.publisher import Publisher
from herald.outbox.relay.reader import Limits
from herald.outbox.relay.term import PAGES_AHEAD, Term
from herald.outbox.relay.withheld import Withheld, find_shrunk, load_withheld, whole_topics, withhold
from herald.outbox.settings import Settings

MEMORY_OF_A_PAGE = 4 * PAGES_AHEAD  # a part of HERALD_MEMORY: all pages that are ahead or in flight have a quarter

_log = structlog.get_logger()


class Leadership:
    """Publishes from `cursor` on until told to stop, for some pages carefully, or until something ends the term."""

    def __init__(
        self,
        session: Connection,
        cursor: Cursor,
        settings: Settings,
        *,
        poll: float,
        is_careful: bool,
        judge: Judge,
    ) -> None:
        self._session = session
        self._cursor = cursor
        self._settings = settings
        self._poll = poll
        self._is_careful = is_careful
        self._judge = judge
        self._limits = Limits(settings.page_size, settings.memory // MEMORY_OF_A_PAGE)
        self._term: Term | None = None

    def run(self, stop: threading.Event) -> None:
        """Raises what ends a term."""
        while self._publish_stretch(stop):
            pass

    def renew(self) -> None:
        """Have it go on with a new producer."""
        if self._term is not None:
            self._term.renew.set()

    def is_answered_or_ends(self) -> bool:
        """As the term has it."""
        return self._term is None or self._term.is_answered_or_ends()

    def _publish_stretch(self, stop: threading.Event) -> bool:
        """Whether another one follows."""
        withheld = self._load_withheld()
        judge, pages = self._judge, PAGES_AHEAD if self._is_careful else None
        publisher = Publisher(self._settings, is_careful=self._is_careful, withheld=withheld, judge=judge)
        term = Term(
            self._session, self._cursor, publisher, limits=self._limits, poll=self._poll, judge=judge, pages=pages
        )
        self._term = term
        catching_up = CatchingUp(self._settings, withheld, self._limits, term.pause.set, judge=judge)
        if withheld:
            catching_up.start()
        try:
            term.run(stop)
        except WithheldError as error:
            term.save()  # what was settled before is neither published nor judged again
            parts = {part: error.parts.get(part, "no leader anywhere") for part in whole_topics(error.parts, withheld)}
            withhold(self._session, term.cursor, parts)
            return True
        finally:
            self._cursor = term.cursor
            publisher.abandon()
            if withheld:
                catching_up.stop()
        if catching_up.caught_up is None or stop.is_set():
            return False
        part = catching_up.caught_up
        try:
            catching_up.finish(self._session, part, stop)
        except PublishError as error:
            _log.warning("still_withheld", topic=part.topic, partition=part.partition, reason=str(error))
        return True

    def _load_withheld(self) -> list[Withheld]:
        """Parts of a topic that has fewer partitions by now become the whole topic: keys go elsewhere in it."""
        withheld = load_withheld(self._session, self._cursor)
        if not withheld:
            return []
        try:
            topics = ask_anew(self._settings, lambda admin: admin.list_topics(timeout=ANSWER_TIMEOUT)).topics
        except KafkaException:
            return withheld  # a later stretch asks again
        if shrunk := find_shrunk(topics, [one.part for one in withheld]):
            withhold(self._session, self._cursor, shrunk)
            return load_withheld(self._session, self._cursor)
        return withheld
