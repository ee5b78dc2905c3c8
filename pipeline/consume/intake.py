"""One record after the other: what it asks for, or why it asks for nothing.

An error that nobody foresaw is the record's own fault where a record that is known to be good decodes all the same;
where that fails too, it is an outage, and no record's fault.
"""

from collections.abc import Callable
from time import monotonic

import msgspec
import structlog

from herald.outbox.postgres.conviction import Convictions, text_of
from herald.pipeline.consume.decoding import Decoder
from herald.pipeline.consume.record import Arrival, ElsewhereError, Request, SourceError, UndecodableError
from herald.pipeline.consume.topic_ids import TopicIds
from herald.pipeline.sparing import OncePer
from herald.pipeline.topic import Topic

TELL_AGAIN = 60.0  # seconds between two lines about another Herald's records
_TOPIC = "probe"
_SUBJECT = "01890a5d-ac96-774b-bcce-b302099a8057"
_GOOD = (
    Arrival(b'{"good": true}', b"key", 1_790_000_000_000, None, _TOPIC, 0, 0),
    Arrival(
        b'{"good": true}',
        b"key",
        1_790_000_000_000,
        [("ce_source", b"/probe"), ("ce_subject", _SUBJECT.encode()), ("ce_id", b"1.1"), ("ce_request", b"1")],
        _TOPIC,
        0,
        1,
    ),
)

_log = structlog.get_logger()


def decode_known_good() -> None:
    """Decode a foreign record and one of Herald's own, known to be good. Raises what keeps any from being decoded."""
    decoder = Decoder(
        {_TOPIC: Topic(data=msgspec.Raw)},
        source="/probe",
        max_bytes=1024,
        topic_ids=TopicIds(dict),
        read_latest_date=lambda: 2**47,
        is_known=lambda _message: False,
    )
    for arrival in _GOOD:
        decoder.decode(arrival)


class Intake:
    """Used by one thread; `probe` decodes what is known to be good, `clock` gives seconds."""

    def __init__(
        self, decoder: Decoder, *, probe: Callable[[], None] = decode_known_good, clock: Callable[[], float] = monotonic
    ) -> None:
        self._decoder = decoder
        self._probe = probe
        self._once = OncePer(TELL_AGAIN, clock)
        self._convictions = Convictions()
        self.skipped = 0

    def read(self, arrival: Arrival) -> Request | None:
        """What the record asks for; None for another Herald's.

        Raises UndecodableError for what belongs on `dead_letters`. Whatever else it raises is an outage.
        """
        try:
            return self._decoder.decode(arrival)
        except ElsewhereError:
            self._skip(arrival)
            return None
        except (UndecodableError, SourceError, MemoryError):
            raise
        except (Exception, SystemExit) as error:  # a topic's own code may leave by any way
            self._probe()
            self._tell(arrival, error)
            raise UndecodableError(text_of(error)) from error

    def _skip(self, arrival: Arrival) -> None:
        self.skipped += 1
        if self._once.allows():
            _log.warning(
                "records_of_another_herald_skipped",
                records=self.skipped,
                topic=arrival.topic,
                advice="two Heralds share these topics: give one of them another HERALD_TOPIC_PREFIX",
            )

    def _tell(self, arrival: Arrival, error: BaseException) -> None:
        """A traceback for the first of a kind in a minute; the dead letter's own line says where each stood."""
        if self._convictions.allows(error):
            _log.error("record_convicted", reason=text_of(error), exc_info=error, **arrival.place)
