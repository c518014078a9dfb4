"""Trained again on columns mapped by x -> a x + b, a model moves every ELBO by -log|a|, also for a < 0."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from tests.training.models import mixed, table
from vaekit_training.build import build
from vaekit_training.config import make_config
from vaekit_training.data.rows import Rows
from vaekit_training.export import double
from vaekit_training.features import observed_rows
from vaekit_training.mirror import signs
from vaekit_training.run import run

KINDS = {
    "gaussian": [],
    "a scale for each feature": ['likelihood.scale="feature"'],
    "student_t, members": ['likelihood.name="student_t"', "network.members=2"],
    "laplace, layer norm": ['likelihood.name="laplace"', "network.layer_norm=true"],
    "aggregate prior": ['prior.name="aggregate"', "prior.components=12"],
    "folds": ["data.folds=3"],
}
MAPS = {  # a and b of five columns
    "mirror images": (np.array([-1.0, -1.0, 1.0, -1.0, -1.0]), np.zeros(5)),
    "units": (np.array([1000.0, 1e-6, 3.6, 1 / 25.4, 0.01]), np.zeros(5)),
    "mirrored units and offsets": (np.array([-3.6, 2.0, -1 / 25.4, -8.0, 1.0]), np.array([5.0, 0.0, 1.0, 100.0, -3.0])),
}


def trained_elbo(rows: Rows, *overrides: str) -> NDArray[np.float64]:
    """The ELBO of each row, (N,), of a model trained on the rows, on fixed draws, in float64 arithmetic."""
    settings = {"name": "mapped", "data": {"source": "memory", "missing": "marginalise"}}
    config = make_config(
        settings, ["training.steps=60", "network.hidden=[6]", "network.latent_dim=2", "training.threads=1", *overrides]
    )
    vae = double(run(config, device="cpu", rows=rows).vae)
    eps = torch.randn(len(rows.x), 4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.from_numpy(rows.x)
    raw, observed = observed_rows(x) if vae.features.may_be_missing else (x, None)
    with torch.no_grad():
        return vae.bound(raw, eps, observed).elbo.numpy()


def mapped(rows: Rows, a: NDArray[np.float64], b: NDArray[np.float64]) -> Rows:
    return Rows(
        a * rows.x + b,
        rows.columns,
        rows.anomaly,
        kinds=rows.kinds,
        levels=rows.levels,
        may_be_missing=rows.may_be_missing,
    )


@pytest.fixture(scope="module")
def rows() -> Rows:
    """Five skewed columns near 0, so that an offset loses no digits."""
    one = table(80)
    x = np.exp(0.5 * (one.x[:, :5] - one.x[:, :5].mean(axis=0)) / one.x[:, :5].std(axis=0)) * [
        1.0,
        -1.0,
        1.0,
        -1.0,
        1.0,
    ]
    return Rows(x - x.mean(axis=0), one.columns[:5], one.anomaly)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", MAPS)
def test_training_again_on_mapped_columns_moves_the_elbo_by_the_log_determinant(
    rows: Rows, kind: str, name: str
) -> None:
    a, b = MAPS[name]
    before, after = trained_elbo(rows, *KINDS[kind]), trained_elbo(mapped(rows, a, b), *KINDS[kind])
    np.testing.assert_allclose(after, before - np.log(np.abs(a)).sum(), rtol=1e-10, atol=1e-9)


def test_real_columns_beside_other_kinds_and_missing_cells_may_be_mirrored_too() -> None:
    rows = mixed(80, missing=True)
    a = np.where([kind == "real" for kind in rows.kinds], -1.0, 1.0)
    before = trained_elbo(rows, 'likelihood.name="mixed"')
    after = trained_elbo(mapped(rows, a, np.zeros(7)), 'likelihood.name="mixed"')
    np.testing.assert_allclose(after, before, rtol=1e-10, atol=1e-9)


def test_the_sign_of_a_column_follows_its_mirror_image_also_if_it_is_symmetric() -> None:
    x = np.array([[1.0, 2.0, 5.0, np.nan], [-1.0, 1.0, 5.0, 3.0], [1.0, 1.0, 5.0, 1.0], [-1.0, 1.0, 5.0, 1.0]])
    rows = Rows(x, tuple("abcd"), np.zeros(4, dtype=bool), may_be_missing=(False, False, False, True))
    other = Rows(-x, tuple("abcd"), np.zeros(4, dtype=bool), may_be_missing=(False, False, False, True))
    config = make_config({"name": "s", "data": {"source": "memory", "missing": "marginalise"}})
    found = []
    for one in (rows, other):
        vae = build(config, one, np.arange(4))
        found.append(signs(vae.features, one.kinds, torch.from_numpy(one.x)).tolist())  # type: ignore[arg-type]  # Standardize
    assert found == [[1.0, 1.0, 1.0, 1.0], [-1.0, -1.0, 1.0, -1.0]]  # the third column never changes
