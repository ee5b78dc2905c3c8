"""What a claim has to know of a request, and what becomes of those that were won."""

from collections import defaultdict, deque
from collections.abc import Hashable, Mapping, Sequence
from time import monotonic, time_ns
from uuid import UUID

import msgspec

from herald.outbox.kafka.topic_names import TopicNames
from herald.outbox.moves.claim import Claim, Record
from herald.outbox.settings import Settings
from herald.outbox.watched.traces import TRACES, Read
from herald.pipeline.channel import NotSetUpError, PermanentError
from herald.pipeline.consume.record import Request
from herald.pipeline.deliver.attempt import Attempt
from herald.pipeline.deliver.deliveries import Deliveries
from herald.pipeline.deliver.retry import reason_of
from herald.pipeline.deliver.routing import Router

NO_MEMORY_WAIT = 5.0  # seconds


class Claiming:
    """Knows where requests go and how busy it is there."""

    def __init__(self, settings: Settings, router: Router, deliveries: Deliveries) -> None:
        self._settings = settings
        self._router = router
        self._deliveries = deliveries
        self._on_kafka = TopicNames(settings.topic_prefix).on_kafka

    def routed(self, request: Request) -> Request:
        """With its destination; one that can be delivered nowhere is claimed all the same, and dies of it.

        So is one whose topic's own code fails, or whose channel is not set up here: its attempt does then. A channel
        that is not registered may come with another release, unless another producer names it: nobody checked that.
        """
        if request.defect is not None or request.error is not None:
            return request
        try:
            destination = self._router.destination(request)
        except PermanentError as error:
            return msgspec.structs.replace(request, defect=reason_of(error))
        except NotSetUpError as error:
            if error.channel is None and request.version is None:
                return msgspec.structs.replace(request, defect=str(error))
            return msgspec.structs.replace(request, error=error)
        except MemoryError:
            raise
        except (Exception, SystemExit) as error:  # noqa: BLE001 - a topic's draft is anybody's code
            return msgspec.structs.replace(request, error=error)
        return msgspec.structs.replace(request, destination=destination) if destination is not None else request

    def record_of(self, request: Request) -> Record:
        """Asked just before the claim: whether it could begin in time, and whether its key's order is kept here."""
        is_strict = request.topic in self._settings.strict_topics
        return Record(
            request.id,
            request.request,
            destination=request.destination,
            wait=self._wait(request),
            is_strict=is_strict,
            is_here=is_strict and self._deliveries.is_here(request.lane),
        )

    def attempts(
        self, requests: Sequence[Request], won: Mapping[UUID, Claim], *, asked_at: float, generation: int
    ) -> list[Attempt]:
        """The winners, of a key as they were accepted; `asked_at` by the monotonic clock, before the claim.

        The record of one that was requested again stands behind those of later messages.
        """
        return [
            Attempt(
                one,
                won[one.id].attempt,
                asked_at + self._hold(one),
                destination=one.destination,
                uncounted=won[one.id].uncounted,
                unknowns=won[one.id].unknowns,
                is_probe=won[one.id].is_probe,
                generation=generation,
                is_async=self._router.is_async(one),
            )
            for one in _lined_up(requests, won)
        ]

    def traced(self, attempts: Sequence[Attempt], *, asked_at: float) -> Sequence[Attempt]:
        """The same; those that are traced go on below a span of their claim."""
        if (spans := TRACES.spans) is None:
            return attempts
        began = time_ns() - round((monotonic() - asked_at) * 1e9)
        followed = []
        for one in attempts:
            request, arrival = one.request, one.request.arrival
            read = Read(self._on_kafka(arrival.topic), arrival.partition, arrival.offset, self._settings.group)
            place = spans.claimed(request.traceparent, request.id, read, rows=len(attempts), began=began)
            followed.append(_below(one, place) if place else one)
        return followed

    def _wait(self, request: Request) -> float | None:
        """What finds no memory is put off like what finds its destination busy."""
        if self._deliveries.room_bytes <= 0:
            return NO_MEMORY_WAIT
        is_async = self._router.is_async(request)
        within = self._hold(request) / 2
        return self._deliveries.wait(request.destination, request.lane, within=within, is_async=is_async)

    def _hold(self, request: Request) -> float:
        """Seconds after its claim within which an attempt may begin: the lease less one delivery."""
        return self._settings.lease - self._router.policy(request.destination).timeout


def _below(attempt: Attempt, place: str) -> Attempt:
    request = msgspec.structs.replace(attempt.request, traceparent=place)
    return msgspec.structs.replace(attempt, request=request)


def _lined_up(requests: Sequence[Request], won: Mapping[UUID, Claim]) -> list[Request]:
    """The winners in the order of their records, but those of a key and a priority in the order of `won`."""
    winners = {one.id: one for one in requests if one.id in won}
    lines: defaultdict[Hashable, deque[Request]] = defaultdict(deque)
    for message in won:
        lines[_line(winners[message])].append(winners[message])
    return [lines[_line(one)].popleft() for one in winners.values()]


def _line(request: Request) -> Hashable:
    return request.id if request.lane is None else (request.lane, request.dates.priority)
