"""What is measured; each part prepares a side once and is then asked once a round.

The order is that of a run: what changes the copy of the large log least comes first.
"""

from benchmarks.costs.bench import Part
from benchmarks.costs.parts import delivery, lists, moves, throughput

PARTS: dict[str, Part] = {
    "moves": moves.prepare,
    "pipeline": throughput.pipeline,
    "lists": lists.prepare,
    "relay": throughput.relay,
    "delivery": delivery.prepare,
    "api": throughput.api,
    "rebuild": throughput.rebuild,
}
NEED_BROKER = {"pipeline", "relay", "delivery"}
