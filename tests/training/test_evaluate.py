"""The metrics of a run rank rows as verdicts do."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.training.models import case
from vaekit import Detector
from vaekit.bundle import Calibration
from vaekit.bundle.manifest import Operation
from vaekit.runtime import Bound, Model
from vaekit_training.evaluate import _against_anomalies, settled_exemplars
from vaekit_training.export import double, evaluate, evaluate_in_parts, graph_inputs
from vaekit_training.folds import AnyVAE


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


@pytest.mark.parametrize("kind", ["kernel prior", "aggregate prior, members"])
def test_outputs_computed_in_parts_are_those_of_all_rows_at_once(kind: str) -> None:
    one = case(kind)
    vae = double(one.vae)
    feeds = graph_inputs(vae, one.x[:7], num_samples=2, seed=0)["surprise"]
    whole, parts = evaluate(vae, "surprise", feeds), evaluate_in_parts(vae, "surprise", feeds, 3)
    assert list(parts) == list(whole)
    for name, values in whole.items():
        torch.testing.assert_close(parts[name], values)


def test_parity_compares_as_many_rows_at_once_as_the_runtime(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sizes = []

    def recorded(
        vae: AnyVAE, operation: Operation, feeds: dict[str, torch.Tensor], rows: int
    ) -> dict[str, torch.Tensor]:
        sizes.append(rows)
        return evaluate_in_parts(vae, operation, feeds, rows)

    monkeypatch.setattr("vaekit_training.evaluate.evaluate_in_parts", recorded)
    model = Detector().fit(np.random.default_rng(0).standard_normal((120, 2))).model_
    assert sizes == [model.rows_at_once("surprise", model.manifest.draws.default)]


def test_an_exemplar_is_settled_if_its_weight_differs_from_those_beside_it() -> None:
    weight = np.array(
        [
            [0.5, 0.2, 0.1, 0.05],
            [0.3, 0.3, 0.2, 0.1],  # equal training rows
            [0.4, 0.3999, 0.1, 0.0],
            [1.0, 1e-300, 0.0, 0.0],
            [0.25, 0.25, 0.25, 0.25],
        ]
    )
    np.testing.assert_array_equal(
        settled_exemplars(weight),
        [
            [True, True, True, False],  # the last might be equal to the next one, which is not named
            [False, False, True, False],
            [False, False, True, False],
            [True, True, False, False],
            [False, False, False, False],
        ],
    )
    assert settled_exemplars(np.array([[1.0]])).tolist() == [[False]]
