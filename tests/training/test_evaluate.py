"""The metrics of a run rank rows as verdicts do."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import Calibration
from vaekit.runtime import Bound, Model
from vaekit_training.evaluate import _against_anomalies


def bound(score: list[float], novel: list[bool]) -> Bound:
    elbo: NDArray[Any] = -np.array(score)
    return Bound(elbo=elbo, log_likelihood=elbo, kl=np.zeros(len(score)), novel=np.array(novel))


class FakeModel:
    def bound(self, rows: Bound) -> Bound:
        return rows


def test_a_novel_anomaly_counts_as_ranked_above_every_row_that_is_not_novel() -> None:
    normal, anomalies = bound([1.0, 2.0, 3.0], [False] * 3), bound([0.0, 4.0], [True, False])
    found = _against_anomalies(cast(Model, FakeModel()), cast(Any, anomalies), normal, Calibration.of(np.arange(30.0)))
    assert found["auroc"].value == 1.0
