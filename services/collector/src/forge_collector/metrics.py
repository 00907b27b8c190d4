"""The collector's counters for Prometheus, read when they are asked for: counting costs the traffic nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from forge_collector.drainer import Drainer
from forge_collector.recorder import Recorder
from forge_collector.spool import Spool


class CollectorMetrics(Collector):
    def __init__(self, spool: Spool, recorder: Recorder, drainer: Drainer) -> None:
        self._spool, self._recorder, self._drainer = spool, recorder, drainer

    def collect(self) -> Iterator[Metric]:
        captured, drained, spool = self._recorder.stats, self._drainer.stats, self._spool.stats
        yield _count("exchanges_kept", "Exchanges appended to the spool", captured.kept)
        yield _count("exchanges_partial", "Of them streams that broke off", captured.partial)
        yield _reasons("exchanges_lost", "Exchanges that passed and were not kept", captured.lost)
        yield _reasons("spool_dropped", "Frames that the spool could not take", spool.dropped)
        yield _count("spool_skipped_bytes", "Bytes of the spool that did not verify", spool.skipped_bytes)
        yield _count("exchanges_stored", "Exchanges stored in Postgres", drained.stored)
        yield _count(
            "exchanges_rejected", "Records set aside because they cannot be stored", drained.rejected
        )
        yield _gauge("spool_bytes", "Bytes of the spool on disk", self._spool.bytes_on_disk)
        yield _gauge(
            "spool_backlog_bytes",
            "Bytes that are not in Postgres yet",
            backlog_bytes(self._spool, self._drainer),
        )
        yield _gauge("postgres_down", "1 while the drainer waits for Postgres", int(drained.is_down))


def backlog_bytes(spool: Spool, drainer: Drainer) -> int:
    """An upper bound: a segment counts until it is read to its end, the newest one by what is left of it."""
    drained = drainer.position.offset if drainer.position.segment == spool.end.segment else 0
    return max(spool.bytes_on_disk - drained, 0) if drainer.position < spool.end else 0


def _count(name: str, text: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(f"forge_collector_{name}", text, value=value)


def _gauge(name: str, text: str, value: int) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"forge_collector_{name}", text, value=value)


def _reasons(name: str, text: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"forge_collector_{name}", text, labels=["reason"])
    for reason, value in dict(values).items():
        family.add_metric([reason], value)
    return family
