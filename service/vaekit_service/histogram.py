"""A Prometheus histogram that is cheap to observe.

prometheus_client's takes a lock and looks at each bucket: six observations of a request cost 8 of its 210 us. Here one
is a bisection and two additions, a fifth of that (2026-11-30, in process, best of 9 times 1,600 requests).
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString


class Bins:
    """The counts of one histogram. Call `observe` in one thread at a time.

    Args:
        bounds: the upper ends of all buckets but the last, ascending; a value at an end is in the lower bucket.
    """

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds = tuple(bounds)
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0
        self.created = time.time()

    def observe(self, value: float) -> None:
        self.counts[bisect_left(self._bounds, value)] += 1
        self.sum += value


class Histogram(Collector):
    """The histograms of one metric, one for each combination of label values.

    Args:
        name, documentation, labels: as those of prometheus_client's histograms.
        bounds: see Bins.
    """

    def __init__(self, name: str, documentation: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        self._name, self._documentation, self._labels = name, documentation, tuple(labels)
        self._bounds = tuple(bounds)
        ends = [*map(float, bounds), float("inf")]
        self._ends: list[str] = [floatToGoString(end) for end in ends]  # type: ignore[no-untyped-call] # has no types
        self._of: dict[tuple[str, ...], Bins] = {}

    def labels(self, *values: str) -> Bins:
        """The histogram of these label values."""
        assert len(values) == len(self._labels)
        return self._of.setdefault(values, Bins(self._bounds))

    def collect(self) -> Iterator[Metric]:
        family = HistogramMetricFamily(self._name, self._documentation, labels=self._labels)
        for values, bins in list(self._of.items()):
            below = accumulate(bins.counts)
            family.add_metric(values, list(zip(self._ends, below, strict=True)), bins.sum)
            named = dict(zip(self._labels, values, strict=True))
            family.add_sample(f"{self._name}_created", named, bins.created)
        yield family
