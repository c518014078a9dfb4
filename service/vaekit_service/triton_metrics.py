"""Counters of the models under the names of NVIDIA Triton, so that dashboards made for it work.

Names and meaning are those of Triton's metrics page: counts of requests and rows, and the microseconds that successful
requests took. They have no suffix _total there.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from threading import Lock

from prometheus_client.core import Metric
from prometheus_client.registry import Collector

from vaekit_service.stages import Stages

_TEXTS = {
    "nv_inference_request_success": "Number of successful inference requests",
    "nv_inference_count": "Number of inferences performed (rows)",
    "nv_inference_exec_count": "Number of model executions performed (batches)",
    "nv_inference_request_duration_us": "Cumulative inference request duration in microseconds",
    "nv_inference_queue_duration_us": "Cumulative inference queuing duration in microseconds",
    "nv_inference_compute_input_duration_us": "Cumulative compute input duration in microseconds",
    "nv_inference_compute_infer_duration_us": "Cumulative compute inference duration in microseconds",
    "nv_inference_compute_output_duration_us": "Cumulative compute output duration in microseconds",
}
_FAILURE = "nv_inference_request_failure"
ModelKey = tuple[str, str]  # model name and version


class TritonMetrics(Collector):
    """The counters of one service."""

    def __init__(self) -> None:
        self._counts: dict[str, Counter[ModelKey]] = defaultdict(Counter)
        self._failures: Counter[tuple[str, str, str]] = Counter()
        self._lock = Lock()  # batches are counted in the device's thread

    def answered(self, model: ModelKey, stages: Stages) -> None:
        """Count an answered request."""
        parts = {
            "request": stages.read + stages.decode + stages.queue + stages.run + stages.encode,
            "queue": stages.queue,
            "compute_input": stages.decode,
            "compute_infer": stages.run,
            "compute_output": stages.encode,
        }
        with self._lock:
            self._counts["nv_inference_request_success"][model] += 1
            for name, seconds in parts.items():
                self._counts[f"nv_inference_{name}_duration_us"][model] += round(1e6 * seconds)

    def failed(self, model: ModelKey, status: int) -> None:
        """Count a request that got an error after its model was found."""
        reason = "CANCELED" if status == 499 else "REJECTED" if status < 500 or status == 503 else "BACKEND"
        with self._lock:
            self._failures[*model, reason] += 1

    def ran(self, model: ModelKey, rows: int) -> None:
        """Count a batch."""
        with self._lock:
            self._counts["nv_inference_count"][model] += rows
            self._counts["nv_inference_exec_count"][model] += 1

    def collect(self) -> list[Metric]:
        with self._lock:
            counts = {name: dict(self._counts[name]) for name in _TEXTS}
            failures = dict(self._failures)
        families = []
        for name, text in _TEXTS.items():
            families.append(family := Metric(name, text, "unknown"))
            for (model, version), count in counts[name].items():
                family.add_sample(name, {"model": model, "version": version}, count)
        families.append(family := Metric(_FAILURE, "Number of failed inference requests", "unknown"))
        for (model, version, reason), count in failures.items():
            family.add_sample(_FAILURE, {"model": model, "version": version, "reason": reason}, count)
        return families
