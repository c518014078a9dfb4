"""Prometheus metrics of one app, in base units (seconds, bytes)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import WeakKeyDictionary

import numpy as np
from prometheus_client import CollectorRegistry, Counter, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.registry import Collector

from vaekit.bundle import Manifest
from vaekit.errors import InputError
from vaekit.runtime import Bound, Model
from vaekit.runtime.results import RowArrays
from vaekit_service.engine.batcher import Batch
from vaekit_service.engine.engine import Engine
from vaekit_service.engine.jobs import Job
from vaekit_service.histogram import Bins, Histogram
from vaekit_service.messages import Operation
from vaekit_service.repository.registry import ModelRegistry
from vaekit_service.stages import STAGES, Key, ModelStatistics, Stages
from vaekit_service.triton_metrics import TritonMetrics

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STAGE_SECONDS = (0.0001, 0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10)
_ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
CONTENT_TYPE = CONTENT_TYPE_LATEST


class Metrics:
    """Counters, histograms and gauges. The label values are bounded: route templates and names of served models.

    Args:
        triton: list the counters of the models under Triton's names too.
    """

    def __init__(self, *, triton: bool = False) -> None:
        self._registry = CollectorRegistry()
        counter, histogram = self._counter, self._histogram
        self.statistics = ModelStatistics()
        self._triton = TritonMetrics() if triton else None
        if self._triton is not None:
            self.add(self._triton)
        self.requests = counter("vae_http_requests", "Requests answered.", "method", "route", "status")
        self.seconds = histogram(
            "vae_http_request_duration_seconds",
            "Time from the first line of the request to the last byte of the reply.",
            _SECONDS,
            "route",
        )
        self.refused = counter(
            "vae_http_refused", "Requests and connections refused before they reached a route.", "status"
        )
        self.stage_seconds = histogram(
            "vae_stage_duration_seconds",
            "Time of each stage of the answered requests to /encode, /decode, /sample and /elbo.",
            _STAGE_SECONDS,
            "stage",
        )
        self._of_stages = [(stage, self.stage_seconds.labels(stage)) for stage in STAGES]
        self.key_refusals = counter(
            "vae_key_refusals", "Requests refused because of their host or key, by reason.", "reason"
        )
        self.rejections = counter(
            "vae_rejections",
            "Requests and connections that got no answer, by the class of the error or the phrase of the status.",
            "reason",
        )
        self.invalid_rows = counter(
            "vae_invalid_rows",
            "Requests refused because the model does not accept a row or an option.",
            "model",
            "version",
        )
        self.reported_rows = counter(
            "vae_reported_rows",
            "Invalid rows that were answered with their reason (errors=report), while the others were scored.",
            "model",
            "version",
        )
        self.key_reloads = counter("vae_key_reloads", "Readings of a changed key file.", "outcome")
        self.in_flight = 0  # requests that are being answered
        self.connections: Callable[[], int] = lambda: 0  # number of open connections; set by the server
        self.log_lines_dropped: Callable[[], int] = lambda: 0  # set by the server
        self.score_log_rows: Callable[[], tuple[int, int]] = lambda: (0, 0)  # rows written and dropped; set by the app
        self.worker_ends: Callable[[], int] = lambda: 0  # set by make_components
        self.reads_store: Callable[[], bool | None] = lambda: None  # set by make_components
        self.rows = counter(
            "vae_rows", "Rows, latents or samples that ran on the device.", "operation", "model", "version"
        )
        self.novel_rows = counter("vae_novel_rows", "Scored rows that are unlike any training row.", "model", "version")
        self.batch_seconds = histogram(
            "vae_batch_duration_seconds", "Time of one batch on the device.", _SECONDS, "operation", "model"
        )
        self.batch_failures = counter(
            "vae_batch_failures",
            "Batches that failed; the requests of such a batch are then run one by one.",
            "operation",
            "model",
        )
        self.batch_rows = histogram("vae_batch_rows", "Rows of one batch on the device.", _ROWS, "operation", "model")

        self._of_requests: dict[tuple[str, str, int], tuple[Counter, Bins]] = {}
        self._of_batches: WeakKeyDictionary[Model, dict[str, tuple[Counter, Bins, Bins]]]
        self._of_batches = WeakKeyDictionary()

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, registry=self._registry)

    def _histogram(self, name: str, text: str, bounds: Sequence[float], *labels: str) -> Histogram:
        made = Histogram(name, text, labels, bounds)
        self.add(made)
        return made

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        """Record an answered request. Called in the event loop. The labels are bounded, so the cache of them is too."""
        known = self._of_requests.get((method, route, status))
        if known is None:
            known = self.requests.labels(method, route, str(status)), self.seconds.labels(route)
            self._of_requests[method, route, status] = known
        known[0].inc()
        known[1].observe(seconds)

    def staged(self, manifest: Manifest, operation: Operation, stages: Stages) -> None:
        """Record the stages of an answered request to a model. Called in the event loop."""
        self.statistics.answered(Key(manifest.name, manifest.version, operation), stages)
        for stage, histogram in self._of_stages:
            histogram.observe(getattr(stages, stage))
        if self._triton is not None:
            self._triton.answered(_key(manifest), stages)

    def rejected(self, reason: str) -> None:
        """Count a request or connection that got no answer."""
        self.rejections.labels(reason).inc()

    def refused_by(
        self, manifest: Manifest, operation: Operation, error: type[BaseException], status: int, seconds: float
    ) -> None:
        """Count a request that got an error after its model was found. Called in the event loop."""
        self.statistics.failed(Key(manifest.name, manifest.version, operation), seconds)
        if issubclass(error, InputError):
            self.invalid_rows.labels(*_key(manifest)).inc()
        if self._triton is not None:
            self._triton.failed(_key(manifest), status)

    def add(self, collector: Collector) -> None:
        """List the metrics of a collector too."""
        self._registry.register(collector)

    def keys_reloaded(self, succeeded: bool) -> None:
        """Record that a changed key file was read."""
        self.key_reloads.labels("succeeded" if succeeded else "failed").inc()

    def ran(self, batch: Batch[Job, RowArrays], seconds: float) -> None:
        """Record a batch that the engine ran. Called in the engine's thread or the event loop, one batch at a time."""
        job = batch.slices[0].job
        known = self._of_batches.get(job.model, {}).get(job.operation)
        if known is None:
            name, version = job.model.manifest.name, str(job.model.manifest.version)
            known = (
                self.rows.labels(job.operation, name, version),
                self.batch_rows.labels(job.operation, name),
                self.batch_seconds.labels(job.operation, name),
            )
            self._of_batches.setdefault(job.model, {})[job.operation] = known
        manifest = job.model.manifest
        self.statistics.ran(Key(manifest.name, manifest.version, job.operation), batch.n, seconds)
        known[0].inc(batch.n)
        known[1].observe(batch.n)
        known[2].observe(seconds)
        if self._triton is not None:
            self._triton.ran(_key(job.model.manifest), batch.n)

    def scored(self, manifest: Manifest, result: RowArrays) -> None:
        """Count the novel rows of an answer. Called in the event loop."""
        if isinstance(result, Bound) and result.novel is not None and (novel := int(np.count_nonzero(result.novel))):
            self.novel_rows.labels(manifest.name, str(manifest.version)).inc(novel)

    def reported(self, manifest: Manifest, rows: int) -> None:
        """Count invalid rows that are answered with their reason. Called in the event loop."""
        if rows:
            self.reported_rows.labels(*_key(manifest)).inc(rows)

    def failed(self, batch: Batch[Job, RowArrays], error: Exception) -> None:  # noqa: ARG002  callers get the error
        """Record a batch that failed. Called in the thread that ran the batch."""
        job = batch.slices[0].job
        self.batch_failures.labels(job.operation, job.model.manifest.name).inc()

    def observe(self, engine: Engine, registry: ModelRegistry, ready: Callable[[], bool]) -> None:
        """Add gauges that read the current state of these objects at each scrape."""
        self.add(_Gauges(self, engine, registry, ready))

    def text(self) -> bytes:
        """The exposition format of Prometheus."""
        return generate_latest(self._registry)


def _key(manifest: Manifest) -> tuple[str, str]:
    """The labels of a model."""
    return manifest.name, str(manifest.version)


class _Gauges(Collector):
    """Gauges whose values are read at each scrape."""

    def __init__(self, metrics: Metrics, engine: Engine, registry: ModelRegistry, ready: Callable[[], bool]) -> None:
        self._metrics, self._engine, self._models, self._ready = metrics, engine, registry, ready

    def collect(self) -> list[Metric]:
        info = GaugeMetricFamily(
            "vae_model_info", "1 for each model version in memory.", labels=["model", "version", "device"]
        )
        for served in self._models.loaded:
            if served.model is not None:
                info.add_metric([served.name, str(served.version), served.model.device], 1)
        failed = GaugeMetricFamily(
            "vae_model_failed", "1 for each model version that failed to load.", labels=["model", "version"]
        )
        for served in self._models.all:
            if served.state == "failed":
                failed.add_metric([served.name, str(served.version)], 1)
        serving = GaugeMetricFamily(
            "vae_model_version", "The version that answers requests without a version.", labels=["model"]
        )
        for served in self._models.latest:
            if served.model is not None:
                serving.add_metric([served.name], served.version)
        used = GaugeMetricFamily(
            "vae_device_memory_used_bytes", "Memory of the GPU in use by all processes.", labels=["device"]
        )
        total = GaugeMetricFamily("vae_device_memory_total_bytes", "Memory of the GPU.", labels=["device"])
        for name, model in {model.device_name: model for model in self._models.loaded_models()}.items():
            if (memory := model.device_memory) is not None:
                used.add_metric([name], memory.used)
                total.add_metric([name], memory.total)
        store = GaugeMetricFamily("vae_store_readable", "1 if the last look could read the stores of models, else 0.")
        if (readable := self._metrics.reads_store()) is not None:
            store.add_metric([], float(readable))
        in_flight, dropped = self._metrics.in_flight, self._metrics.log_lines_dropped()
        connections = self._metrics.connections()
        logged, lost = self._metrics.score_log_rows()
        return [
            GaugeMetricFamily("vae_http_connections", "Open connections.", value=connections),
            GaugeMetricFamily("vae_http_requests_in_flight", "Requests being answered.", value=in_flight),
            GaugeMetricFamily("vae_queue_depth", "Jobs waiting for the device.", value=self._engine.depth),
            GaugeMetricFamily("vae_queue_rows", "Rows waiting for the device.", value=self._engine.rows),
            CounterMetricFamily("vae_log_lines_dropped", "Lines of the log that were not written.", value=dropped),
            CounterMetricFamily("vae_score_log_rows_written", "Rows written to the score log.", value=logged),
            CounterMetricFamily("vae_score_log_rows_dropped", "Rows that the score log lost.", value=lost),
            CounterMetricFamily(
                "vae_worker_ends",
                "Processes for large JSON that ended while they had a request, unless it was cancelled.",
                value=self._metrics.worker_ends(),
            ),
            GaugeMetricFamily("vae_ready", "1 while /readyz answers 200, else 0.", value=float(self._ready())),
            store,
            info,
            failed,
            serving,
            used,
            total,
        ]
