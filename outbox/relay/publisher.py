"""Publishes pages and knows when each is settled. Nothing one record does stops the others."""

import math
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial

from confluent_kafka import KafkaError, KafkaException, Message

from herald.outbox.kafka.clients import abandon, own_code
from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.postgres.conviction import convicts_nobody
from herald.outbox.relay.errors import REFUSED_FOR_GOOD, PublishError, SilentKafkaError, WithheldError
from herald.outbox.relay.hearing import LOOK, Hearing, find_stuck
from herald.outbox.relay.in_flight import NOTHING, InFlight
from herald.outbox.relay.judging import Judge, judge_page
from herald.outbox.relay.producer import make_producer
from herald.outbox.relay.reader import Page, Row
from herald.outbox.relay.records import make_headers
from herald.outbox.relay.sieve import ANYWHERE, Sieve
from herald.outbox.relay.trouble import Trouble
from herald.outbox.relay.unpublishable import why_unpublishable
from herald.outbox.relay.withheld import Part, Withheld
from herald.outbox.settings import Settings

FULL_QUEUE_TIMEOUT = 5.0  # seconds until a producer that stays full is given up
FULL_QUEUE_WAIT = 0.05  # seconds to let acknowledgements make room in a full producer
STUCK = 2.0  # seconds in flight after which it is looked who leads
MOST_ROWS = 20_000  # in flight beside a page that is stuck


class Publisher:
    """One producer, and the pages in flight in their order."""

    def __init__(
        self,
        settings: Settings,
        *,
        is_careful: bool = False,
        withheld: Sequence[Withheld] = (),
        judge: Judge | None = None,
    ) -> None:
        """Careful: each record in a batch of its own, slower, to find the one that Kafka refuses.

        Of a page nothing is published that belongs to what is `withheld`. Without a `judge` whatever Kafka refuses is
        refused.
        """
        self._most_bytes = settings.memory // 8
        self._trouble = Trouble()
        self._producer = make_producer(settings, self._trouble.note_of_producer, is_careful=is_careful)
        self._judges_alone = is_careful
        self._headers = make_headers(settings.source, settings.instance)
        self._topics = TopicNames(settings.topic_prefix)
        self._pages: deque[InFlight] = deque()
        self._has_produced = False
        self._withheld = withheld
        self._sieve = Sieve(withheld) if withheld else None
        self._looked_at = -math.inf
        self._patience = settings.kafka_patience
        self._hearing = Hearing(self._topics)
        self._judge = judge

    @property
    def silent_for(self) -> float:
        """Seconds for which something is in flight and nothing was acknowledged."""
        return self._hearing.silence if self._pages else 0.0

    @property
    def is_heard_lately(self) -> bool:
        """Whether something was acknowledged within the patience."""
        return self._hearing.is_within(self._patience)

    @property
    def in_flight(self) -> int:
        """How many pages are not yet settled."""
        return len(self._pages)

    @property
    def waits_for(self) -> float:
        """Seconds that the oldest page has been in flight."""
        return time.monotonic() - self._pages[0].began if self._pages else 0.0

    @property
    def has_room(self) -> bool:
        """Whether more pages may be in flight beside one that is stuck."""
        rows, size = sum(len(page.rows) for page in self._pages), sum(page.bytes for page in self._pages)
        return rows < MOST_ROWS and size < self._most_bytes

    def takes(self, topic: str) -> bool:
        """Whether something of the topic was acknowledged."""
        return topic in self._hearing.taking

    def publish(self, page: Page, *, partition: int = ANYWHERE) -> None:
        """Hand every row of a page to the producer. Raises PublishError, FatalProducerError, or what none survives."""
        kept: Mapping[Part, int] = NOTHING
        sent: Iterable[tuple[Row, int]] = ((row, partition) for row in page.rows)
        if self._sieve is not None:
            sifted, kept = self._sieve.sift(page.rows)
            page, sent = replace(page, rows=[row for row, _ in sifted]), sifted
        flying = InFlight(page, kept)
        if not self._pages:
            self._hearing.begin()
        self._pages.append(flying)
        settle, produce, on_kafka = self._settler(flying), self._producer.produce, self._topics.on_kafka
        for row, number in sent:
            topic = on_kafka(row[3])
            if why := why_unpublishable(row, topic):
                flying.pass_by(row, why)
                continue
            answer = partial(settle, row=row) if self._judges_alone else settle
            try:
                headers = self._headers(row, flying.trace(row, topic))
                produce(topic, row[5], row[4], number, headers=headers, on_delivery=answer)
                self._has_produced = True
            except (BufferError, KafkaException) as error:
                self._produce_hard(row, number, flying, answer, error)
            except Exception as error:  # noqa: BLE001 - whatever it is: one row must not end the term for all
                flying.pass_by(row, error)
        self._demand_witness(flying)

    def _demand_witness(self, page: InFlight) -> None:
        """What no producer takes is a row's fault only where this one has taken others. Raises the row's error."""
        for _, why in page.unfit:
            if isinstance(why, Exception) and (convicts_nobody(why) or not self._has_produced):
                raise why

    def take_settled(self, timeout: float) -> list[InFlight]:
        """Serve acknowledgements for up to `timeout` seconds; returns the pages settled, in order.

        What Kafka refused is judged with nothing in hand: judging may raise. Raises PublishError, FatalProducerError.
        """
        self._serve(timeout)
        self._trouble.raise_any()
        if self.silent_for > self._patience:
            message = f"Kafka acknowledged nothing for {self._patience:g} s"
            raise SilentKafkaError(message)
        settled: list[InFlight] = []
        while self._pages and self._pages[0].open == 0:
            if settled and self._pages[0].accused:
                break
            judge_page(self._judge, self._pages[0], self._hearing.taking)
            self._pages[0].end_traces()
            settled.append(self._pages.popleft())
        return settled

    def check_leaders(self) -> None:
        """While a page is stuck, look who leads, and who acknowledges nothing.

        Raises WithheldError where somebody does, but not everybody.
        """
        now = time.monotonic()
        if self.waits_for < STUCK or now - self._looked_at < LOOK:
            return
        self._looked_at = now
        known = [one.part for one in self._withheld]
        if found := find_stuck(self._producer, self._topics, self._pages, known, self._hearing):
            raise WithheldError(found)

    def abandon(self) -> None:
        """Forget everything in flight; the stored cursor knows where to go on."""
        self._producer.purge()
        self._producer.poll(0)
        abandon(self._producer)

    def _settler(self, page: InFlight) -> Callable[..., None]:
        """It is given the row only where each is sent alone.

        A report does not say of which of several equal records it speaks; to remember that costs a third of the speed.
        """
        heard = self._hearing.unnoted

        def settle(error: KafkaError | None, message: Message, row: Row | None = None) -> None:
            place = message.topic(), message.partition()
            if error is None:
                heard.add(place)
            elif row is not None and error.code() in REFUSED_FOR_GOOD:
                is_name = error.code() == KafkaError.TOPIC_EXCEPTION  # which no setting of the topic changes
                (page.refused if is_name else page.accused).append((row, error.str()))
            else:
                self._trouble.note(error, self._topics.here(place[0] or ""))
            if message.key() is not None:
                page.settled[place] += 1
            page.open -= 1

        return settle

    def _serve(self, timeout: float) -> None:
        """Take acknowledgements, and note who has given some."""
        # flush sends at once what lingers, and serves as poll does
        self._producer.flush(timeout) if timeout else self._producer.poll(0)
        for topic in self._hearing.note():
            if self._judge is not None:
                self._judge.note_taking(topic)

    def _produce_hard(
        self, row: Row, number: int, page: InFlight, answer: Callable[..., None], error: Exception
    ) -> None:
        deadline = time.monotonic() + FULL_QUEUE_TIMEOUT
        while isinstance(error, BufferError):
            if time.monotonic() > deadline:
                message = "the producer's queue stays full"
                raise PublishError(message)
            self._serve(FULL_QUEUE_WAIT)
            self.check_leaders()  # what nobody takes fills the queue for those whom somebody would
            try:
                topic = self._topics.on_kafka(row[3])
                headers = self._headers(row, page.trace(row, topic))
                self._producer.produce(topic, row[5], row[4], number, headers=headers, on_delivery=answer)
            except (BufferError, KafkaException) as again:
                error = again
            else:
                return
        cause = error.args[0]
        if cause.code() == own_code("INVALID_ARG"):  # this record is none
            page.pass_by(row, error)
            return
        if cause.code() in REFUSED_FOR_GOOD:  # the producer's own limits are no setting of a broker
            page.refused.append((row, cause.str()))
        else:
            self._trouble.note(cause, row[3])
        page.settle_unsent(row)
