"""How metrics are made. What counts is made once, with its labels, and told of batches wherever there are any.

Several processes of one API count in files, one for each seat, which their supervisor reads: what a process had counted
outlives it, and its successor goes on with it.
"""

import os
from bisect import bisect_left
from collections import Counter as Counts
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from typing import NamedTuple

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
    values,
)
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

FOLDER = "PROMETHEUS_MULTIPROC_DIR"  # the library's name: where it is set, values are kept in files below it
SEAT = "HERALD_METRICS_SEAT"  # which of them are this process's
QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
FEW = (0.01, 0.1, 1.0, 10.0)  # seconds
Labels = tuple[str, ...]

disable_created_metrics()  # a date beside each count: twice as many lines
if FOLDER in os.environ and SEAT in os.environ:
    values.ValueClass = values.MultiProcessValue(lambda: os.environ[SEAT])


class Listed(NamedTuple):
    """A metric as it is documented, by the name under which it is scraped."""

    name: str
    kind: str
    labels: Labels
    meaning: str


class Spread(Histogram):
    """A histogram that takes many at once."""

    def observe_all(self, amounts: Sequence[float]) -> None:
        """As `observe` would each."""
        for place, count in Counts(bisect_left(self._upper_bounds, amount) for amount in amounts).items():
            self._buckets[place].inc(count)
        self._sum.inc(sum(amounts))


class Known(Collector):
    """A gauge that exists as long as somebody knows its values, by labels."""

    def __init__(self, listed: Listed) -> None:
        self._listed = listed
        self._values: Mapping[Labels, float] | None = None

    def tell(self, found: Mapping[Labels, float] | float) -> None:
        """From now on it is this."""
        self._values = found if isinstance(found, Mapping) else {(): found}

    def forget(self) -> None:
        """Nobody knows any more."""
        self._values = None

    def describe(self) -> Iterator[Metric]:
        """Without values: what stands in the registry."""
        yield self._family()

    def collect(self) -> Iterator[Metric]:
        """Nothing where nobody knows."""
        family, known = self._family(), self._values
        if known is not None:
            for labels, value in known.items():
                family.add_metric(labels, value)
            yield family

    def _family(self) -> GaugeMetricFamily:
        return GaugeMetricFamily(self._listed.name, self._listed.meaning, labels=self._listed.labels)


BUILD = Listed("herald_build_info", "gauge", ("version",), "Always 1; which release this is")


def tell_build(registry: CollectorRegistry) -> None:
    """Which release this is, to whoever scrapes."""
    build = Known(BUILD)
    build.tell({(version("herald"),): 1})
    registry.register(build)


class Metrics:
    """Those of one kind of process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.listed: list[Listed] = [BUILD]
        self._known: list[Known] = []
        ProcessCollector(registry=self.registry)
        tell_build(self.registry)

    def counter(self, name: str, meaning: str, *labels: str) -> Counter:
        """Grows as long as the process lives; `name` ends in `_total`."""
        self._list(name, "counter", meaning, labels)
        return Counter(name, meaning, labels, registry=self.registry)

    def histogram(self, name: str, meaning: str, *labels: str, buckets: Sequence[float] = QUICK) -> Spread:
        """Of seconds; its `_count` is how often."""
        self._list(name, "histogram", meaning, labels)
        return Spread(name, meaning, labels, registry=self.registry, buckets=buckets)

    def gauge(self, name: str, meaning: str) -> Gauge:
        """What is there now, asked for with each scrape; not for processes that share a port."""
        self._list(name, "gauge", meaning, ())
        return Gauge(name, meaning, registry=self.registry)

    def known(self, name: str, meaning: str, *labels: str) -> Known:
        """A gauge that only the leading relay can tell."""
        known = Known(self._list(name, "gauge", meaning, labels))
        self.registry.register(known)
        self._known.append(known)
        return known

    def forget(self) -> None:
        """It leads no longer: what it knew may be wrong by now."""
        for known in self._known:
            known.forget()

    def _list(self, name: str, kind: str, meaning: str, labels: Labels) -> Listed:
        listed = Listed(name, kind, labels, meaning)
        self.listed.append(listed)
        return listed
