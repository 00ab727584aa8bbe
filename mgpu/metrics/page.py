"""What Prometheus is shown of a snapshot, in its text form, by its own library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.registry import Collector

from mgpu.model.metrics import BUCKETS, COUNTER, HISTOGRAM, METRICS

#: The form of :func:`written`; scrapers of any version read it.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

Sample = tuple[str, tuple[str, ...], Any]


class _Snapshot(Collector):
    """The samples of one snapshot, by metric. What is not in the table is left out."""

    def __init__(self, samples: Iterable[Sample]) -> None:
        self._found: dict[str, list[tuple[tuple[str, ...], Any]]] = {}
        for name, labels, value in samples:
            if name in METRICS and len(labels) == len(METRICS[name].labels):
                self._found.setdefault(name, []).append((labels, value))

    def collect(self) -> Iterator[Metric]:
        """Each metric with its values."""
        for name in METRICS:
            if name in self._found:
                yield _family(name, self._found[name])


def _family(name: str, rows: list[tuple[tuple[str, ...], Any]]) -> Metric:
    known = METRICS[name]
    if known.kind == HISTOGRAM:
        histogram = HistogramMetricFamily(name, known.help, labels=known.labels)
        for labels, counts in rows:
            histogram.add_metric(labels, _buckets(name, counts), counts[-1])
        return histogram
    kind = CounterMetricFamily if known.kind == COUNTER else GaugeMetricFamily
    family = kind(name, known.help, labels=known.labels)
    for labels, value in rows:
        family.add_metric(labels, value)
    return family


def _buckets(name: str, counts: list[float]) -> list[tuple[str, float]]:
    bounds = [*(str(float(bound)) for bound in BUCKETS[name]), "+Inf"]
    return list(zip(bounds, accumulate(counts[:-1]), strict=True))


def written(samples: Iterable[Sample], age: float | None) -> bytes:
    """The page; ``age`` is None where the scheduler has not answered for too long."""
    own: list[Sample] = [("mgpu_up", (), int(age is not None))]
    if age is not None:
        own.append(("mgpu_snapshot_age_seconds", (), age))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Snapshot([*own, *(samples if age is not None else ())]))
    page: bytes = generate_latest(registry)
    return page
