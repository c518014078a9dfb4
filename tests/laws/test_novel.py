"""The probability of values inside and outside a column's support adds up to 1, in the graphs and beside them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

from vaekit.bundle.novelty import Novelty
from vaekit.runtime import Model
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.publish import publish_run
from vaekit_training.run import run
from vaekit_training.trained import Trained

NAMES = ("on", "colour", "stops", "share", "size")
KINDS = {"on": "binary", "colour": "category", "stops": "count", "share": "fraction", "size": "positive"}
VALUES = {0: [0.0, 1.0], 1: [0.0, 1.0, 2.0], 2: np.arange(2000.0).tolist()}  # all values of the columns of masses


def table(n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = np.empty((n, 5), dtype=object)
    x[:, 0], x[:, 1], x[:, 2] = rng.integers(0, 2, n), rng.choice(["b", "g", "r"], n), rng.poisson(3, n)
    x[:, 3], x[:, 4] = rng.uniform(0.1, 0.9, n), rng.lognormal(size=n)
    return x


@pytest.fixture(scope="module")
def trained() -> Trained:
    tiny = ["training.steps=40", "network.latent_dim=2", "network.hidden=[8]", "draws.default=4", "draws.maximum=16"]
    config = make_config(
        {"name": "novel", "data": {"source": "memory", "kinds": KINDS}, "likelihood": {"name": "mixed"}}, tiny
    )
    rows = of_array(table(150), NAMES, config=config.data, likelihood=config.likelihood)
    return run(config, device="cpu", rows=rows)


@pytest.fixture(scope="module")
def model(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Model]:
    root: Path = tmp_path_factory.mktemp("novel")
    publish_run(trained, root, draws_report=False)
    with Model.load(root / "novel", device="cpu") as loaded:
        yield loaded


@pytest.mark.parametrize("d", VALUES)
def test_the_masses_of_all_values_and_the_reserved_one_add_up_to_1(trained: Trained, model: Model, d: int) -> None:
    novelty: Novelty | None = model.manifest.novelty
    assert novelty is not None
    vae, values = trained.one.double(), torch.tensor(VALUES[d], dtype=torch.float64)
    x = torch.from_numpy(trained.rows.x[:1].copy()).repeat(len(values), 1)
    x[:, d] = values
    with torch.no_grad():
        t = vae.features(x)
        z = torch.zeros(len(values), 2, dtype=torch.float64)
        log_p = vae.log_prob(t, z)[:, d] + vae.features.log_jacobian(t)[:, d]
    assert float(log_p.exp().sum()) + np.exp(novelty.log_outside) == pytest.approx(1.0, abs=1e-6)
    vae.float()


@pytest.mark.parametrize("d", [3, 4])
def test_the_density_of_a_bounded_column_is_reduced_by_the_reserved_mass(trained: Trained, d: int) -> None:
    features = trained.one.features
    n = trained.splits.sizes()["train"]
    assert float(features.log_inside[d]) == pytest.approx(np.log(n / (n + 1)))


def test_the_graphs_hold_the_factor_of_values_inside(trained: Trained, model: Model) -> None:
    x, eps = trained.rows.x[:4], model.draws()
    got = model.elbo_checked(x, eps=eps).elbo
    vae = trained.one.double()
    with torch.no_grad():
        draws = torch.from_numpy(eps).double().expand(4, -1, -1)
        want = vae.bound(torch.from_numpy(x), draws).elbo.numpy()
        inside = vae.features.log_inside.clone()
        vae.features.log_inside = torch.zeros_like(inside)
        plain = vae.bound(torch.from_numpy(x), draws).elbo.numpy()
        vae.features.log_inside = inside
    vae.float()
    np.testing.assert_allclose(got, want, rtol=1e-5)
    np.testing.assert_allclose(want, plain + float(inside.sum()), rtol=1e-10)


def test_a_row_of_any_form_gets_a_score_a_p_value_and_a_verdict(model: Model) -> None:
    """Every readable cell in every column: none is refused."""
    calibration = model.calibration()
    assert not isinstance(calibration, str)
    good = [1, "b", 3, 0.5, 2.0]
    numbers = [None, 0, 1, 2, -1, 0.5, 1.5, 1e300, True, float("nan")]
    levels = [*numbers, "b", "new", "", "NA"]
    rows = [[*good[:d], cell, *good[d + 1 :]] for d in range(5) for cell in (levels if d == 1 else numbers)]
    verdict = calibration.verdict(model.elbo(rows), 0.1)
    assert np.isfinite(verdict.p_value).all()
    assert verdict.is_anomaly is not None
