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
        captured, drained = self._recorder.stats, self._drainer.stats
        yield _count("exchanges_kept", "Exchanges appended to the spool", captured.kept)
        yield _count("exchanges_partial", "Of them streams that broke off", captured.partial)
        yield _reasons("exchanges_lost", "Exchanges that passed and were not kept", captured.lost)
        yield _count("exchanges_stored", "Exchanges stored in Postgres", drained.stored)
        yield _count("exchanges_known", "Exchanges that Postgres had already", drained.known)
        yield _count(
            "exchanges_rejected", "Records set aside because they cannot be stored", drained.rejected
        )
        yield _gauge("postgres_down", "1 while the drainer waits for Postgres", int(drained.is_down))
        backlog = backlog_bytes(self._spool, self._drainer)
        yield _gauge("spool_backlog_bytes", "Bytes that are not in Postgres yet", backlog)
        yield _gauge(
            "spool_backlog_seconds",
            "Age of the oldest exchange that is not in Postgres",
            self._drainer.waiting_s,
        )
        yield from self._disk()

    def _disk(self) -> Iterator[Metric]:
        spool, stats = self._spool, self._spool.stats
        yield _reasons("spool_dropped", "Frames that the spool could not take", stats.dropped)
        yield _gauge("spool_refusing", "1 while frames are dropped", int(spool.refusing is not None))
        yield _count("spool_skipped_bytes", "Bytes of the spool that did not verify", stats.skipped_bytes)
        yield _gauge("spool_bytes", "Bytes of the spool on disk", spool.bytes_on_disk)
        yield _gauge("spool_limit_bytes", "Bytes that the spool may have on disk", spool.limit_bytes)
        yield _gauge("spool_reserve_bytes", "Bytes kept back for a full disk", spool.reserve.left)
        yield _count("spool_fsyncs", "Groups of frames that the disk confirmed", stats.fsyncs)
        yield _count("spool_fsync_failures", "Groups that the disk did not confirm", stats.fsync_failures)
        if stats.last_fsync_at is not None:
            yield _gauge("spool_last_fsync_timestamp_seconds", "The last of them", stats.last_fsync_at)


def backlog_bytes(spool: Spool, drainer: Drainer) -> int:
    """An upper bound: a segment counts until it is read to its end, the newest one by what is left of it."""
    drained = drainer.position.offset if drainer.position.segment == spool.end.segment else 0
    return max(spool.bytes_on_disk - drained, 0) if drainer.position < spool.end else 0


def _count(name: str, text: str, value: int) -> CounterMetricFamily:
    return CounterMetricFamily(f"forge_collector_{name}", text, value=value)


def _gauge(name: str, text: str, value: float) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"forge_collector_{name}", text, value=value)


def _reasons(name: str, text: str, values: Mapping[str, int]) -> CounterMetricFamily:
    family = CounterMetricFamily(f"forge_collector_{name}", text, labels=["reason"])
    for reason, value in dict(values).items():
        family.add_metric([reason], value)
    return family
