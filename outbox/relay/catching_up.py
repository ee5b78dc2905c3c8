"""Publishes what was withheld once Kafka takes it again: in order, before anything new of the same keys.

A thread with a session and clients of its own reads the log from the part's own cursor on, page after page, and waits
for each to be acknowledged. When nothing is left it asks the leader to pause; the leader then publishes what has come
meanwhile, and only after that lets the part go with all else. Reading takes no longer than waiting, so that the
leader's own reading goes on beside it.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import structlog
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, TopicMetadata

from herald.outbox.kafka.clients import ANSWER_TIMEOUT, abandon, is_silence, make_admin
from herald.outbox.postgres.connections import reason
from herald.outbox.postgres.driver import Connection, PostgresError
from herald.outbox.relay.cursor import LostLeadError
from herald.outbox.relay.errors import BatchRefusedError, FatalProducerError, PublishError
from herald.outbox.relay.judging import Judge
from herald.outbox.relay.publisher import Publisher
from herald.outbox.relay.reader import Limits, Page
from herald.outbox.relay.reading import read_next
from herald.outbox.relay.session import open_session, speak
from herald.outbox.relay.settling import settle_page
from herald.outbox.relay.withheld import WHOLE, Part, Withheld, load_withheld, release, save_withheld
from herald.outbox.settings import Settings
from herald.outbox.threads import Thread
from herald.outbox.watched.life import came_by, living

LOOK = 1.0  # seconds between two looks whether Kafka takes a part again
TRIED = 5.0  # seconds after which a part that Kafka did not take is tried again
SETTLED = 5.0  # seconds without an acknowledgement after which Kafka does not take the part
SPOKEN = 1.0  # seconds; a session that is silent for 9 s is ended
_log = structlog.get_logger()


class CatchingUp:
    """Runs beside a stretch of a term. `on_caught_up` is called when the leader has to pause for `finish`."""

    _admin: AdminClient  # from `start` on

    def __init__(
        self,
        settings: Settings,
        withheld: Sequence[Withheld],
        limits: Limits,
        on_caught_up: Callable[[], None],
        *,
        judge: Judge,
    ) -> None:
        self._settings = settings
        self._withheld = {one.part: one for one in withheld}
        self._limits = limits
        self._judge = judge
        self._on_caught_up = on_caught_up
        self._careful: set[Part] = set()  # Kafka refused a batch of these
        self._not_before = dict.fromkeys(self._withheld, 0.0)
        self._stop = threading.Event()
        self._thread = Thread(self._run, "catching-up")
        self.caught_up: Part | None = None

    def start(self) -> None:
        """Begin to look."""
        self._admin = make_admin(self._settings)
        self._thread.start()

    def stop(self) -> None:
        """Return once it has ended."""
        self._stop.set()
        self._thread.join()
        abandon(self._admin)

    def finish(self, session: Connection, part: Part, stop: threading.Event) -> None:
        """Publish the rest of a part that is caught up, while the leader publishes nothing, and let the part go.

        Where `stop` is set the part stays withheld. Raises PostgresError, PublishError, FatalProducerError.
        """
        self._stop = stop
        self._publish(session, part)
        if not stop.is_set():
            release(session, part)

    def _run(self) -> None:
        with living("catching-up"):
            while not self._stop.wait(LOOK) and self.caught_up is None:
                came_by()
                try:
                    self._look()
                except Exception as error:  # noqa: BLE001 - whatever it is, this part waits on and the next look comes
                    is_known = isinstance(error, PostgresError | KafkaException | LostLeadError)
                    why, cause = reason(error) or type(error).__name__, None if is_known else error
                    _log.warning("catching_up_failed", reason=why, next_try_seconds=LOOK, exc_info=cause)

    def _look(self) -> None:
        for part in self._answered():
            if self._stop.is_set() or time.monotonic() < self._not_before[part]:
                continue
            try:
                with contextlib.closing(open_session(self._settings)) as session:
                    self._load(session, part)
                    self._publish(session, part)
            except (PublishError, FatalProducerError) as error:
                _log.warning("still_withheld", topic=part.topic, partition=part.partition, reason=str(error))
                self._not_before[part] = time.monotonic() + TRIED
                continue
            if not self._stop.is_set():
                self.caught_up = part
                self._on_caught_up()
                return

    def _load(self, session: Connection, part: Part) -> None:
        """Go on from where it is stored: whoever stored it has published up to there. Raises LostLeadError."""
        stored = {one.part: one for one in load_withheld(session, self._withheld[part].cursor)}
        if part not in stored:
            message = f"{part.topic} {part.partition} is withheld no longer"
            raise LostLeadError(message)
        self._withheld[part] = stored[part]

    def _answered(self) -> list[Part]:
        """Those that have a leader, as far as the brokers know."""
        topics = self._ask_for_topics()

        def is_led(part: Part) -> bool:
            found = topics.get(part.topic)
            if found is None or found.error is not None or not found.partitions:
                return False
            numbers = found.partitions if part.partition == WHOLE else [part.partition]
            return all(number in found.partitions and found.partitions[number].leader >= 0 for number in numbers)

        return [part for part in self._withheld if is_led(part)]

    def _ask_for_topics(self) -> dict[str, TopicMetadata]:
        """Raises KafkaException; a client that nobody answered may never connect again (librdkafka 2.12)."""
        try:
            return self._admin.list_topics(timeout=ANSWER_TIMEOUT).topics
        except KafkaException as error:
            if is_silence(error):
                abandon(self._admin)
                self._admin = make_admin(self._settings)
            raise

    def _publish(self, session: Connection, part: Part) -> None:
        """Page by page until nothing is left, or until it is told to stop."""
        is_over = False
        while not (is_over or self._stop.is_set()):
            publisher = Publisher(self._settings, is_careful=part in self._careful, judge=self._judge)
            try:
                is_over = self._publish_pages(session, part, publisher)
            except BatchRefusedError:
                self._careful.add(part)
            finally:
                publisher.abandon()

    def _publish_pages(self, session: Connection, part: Part, publisher: Publisher) -> bool:
        """Whether nothing was left."""
        while not self._stop.is_set():
            began = time.monotonic()
            withheld = self._withheld[part]
            is_new = withheld.cursor.target is None
            page = self._read(session, part, publisher)
            rows = [row for row in page.rows if part.has(row)]
            if rows:
                self._send(session, Page(rows, page.cursor), part, publisher)
            self._withheld[part] = replace(withheld, cursor=page.cursor)
            save_withheld(session, self._withheld[part], len(rows), before=withheld.cursor)
            if is_new and page.cursor.target is None:
                return True  # everything that was visible when it was read
            if self.caught_up is None:  # otherwise nobody reads beside it, and all wait for it
                self._stop.wait(time.monotonic() - began)
        return False

    def _read(self, session: Connection, part: Part, publisher: Publisher) -> Page:
        """The next page; one row of the part at most until Kafka takes one, so that what it refuses is judged alone."""
        cursor, pause = self._withheld[part].cursor, self._stop.wait
        page = read_next(session, cursor, self._limits, pause, self._judge)
        places = [place for place, row in enumerate(page.rows, 1) if part.has(row)]
        if publisher.takes(part.topic) or len(places) <= 1:
            return page
        return read_next(session, cursor, self._limits._replace(rows=places[0]), pause, self._judge)

    def _send(self, session: Connection, page: Page, part: Part, publisher: Publisher) -> None:
        publisher.publish(page, partition=part.partition)
        spoke_at = time.monotonic()
        while not (settled := publisher.take_settled(0.01)):
            if publisher.silent_for > SETTLED or self._stop.is_set():
                message = f"nothing was acknowledged for {SETTLED:g} s"
                raise PublishError(message)
            if time.monotonic() - spoke_at > SPOKEN:
                speak(session)
                spoke_at = time.monotonic()
        for one in settled:
            settle_page(session, one, self._stop.wait)
