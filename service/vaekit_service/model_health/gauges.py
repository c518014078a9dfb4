"""The gauges of the model health, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict

from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from vaekit.runtime import Model
from vaekit_service.model_health.monitor import ModelHealth

_GAUGES = {
    "rows": "Last scored rows of a model version that are compared with its calibration (the window).",
    "seconds": "Age of the oldest of these rows.",
    "alpha": "False-alarm rate of the anomalies that are counted.",
    "anomaly_rate": "Share of the window's rows with a p-value of at most alpha.",
    "anomaly_rate_low": "Lower end of the 95 % interval of that share.",
    "anomaly_rate_high": "Upper end of the 95 % interval of that share.",
    "anomaly_rate_p_value": "Probability of as many anomalies or more if nothing has changed.",
    "novel_rate": "Share of the window's rows that are unlike any training row.",
    "ks": "Kolmogorov-Smirnov distance between the scores of the window and of the calibration.",
    "ks_p_value": "Probability of such a distance or more if nothing has changed.",
    "psi": "Population stability index between the scores of the window and of the calibration.",
    "psi_p_value": "Probability of such an index or more if nothing has changed.",
    "log10_evidence": "Evidence of a change, since the last restart of the test: without a change it ever reaches c "
    "with a probability of at most 10^-c.",
}


class HealthGauges(Collector):
    """The figures of the last update of each loaded model version.

    Args:
        loaded: the models in memory.
    """

    def __init__(self, health: ModelHealth, loaded: Callable[[], Iterable[Model]]) -> None:
        self._health, self._loaded = health, loaded

    def collect(self) -> list[Metric]:
        families = {
            name: GaugeMetricFamily(f"vae_health_{name}", text, labels=["model", "version"])
            for name, text in _GAUGES.items()
        }
        for model in self._loaded():
            figures = self._health.figures(model)
            if figures is not None:
                values = {**asdict(figures), **asdict(figures.drift)}
                for name, family in families.items():
                    family.add_metric([model.manifest.name, str(model.manifest.version)], values[name])
        return list(families.values())
