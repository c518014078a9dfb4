"""The checks of densities in the training benchmark: correct densities pass, wrong ones fail."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.training import quadrature, rescaling
from benchmarks.training.nll import minus_log_evidence
from tests.training.models import case
from vaekit_training.likelihoods import Gaussian
from vaekit_training.run import run

CASES = {one.name: one for one in quadrature.CASES}


@pytest.mark.parametrize("name", ["student_t on positive", "gaussian on count", "categorical on category"])
def test_a_likelihood_integrates_to_one_over_raw_values(name: str) -> None:
    assert quadrature.worst_error(CASES[name], latents=2) < quadrature.TARGET


def test_a_density_that_is_one_percent_too_large_is_detected(monkeypatch: pytest.MonkeyPatch) -> None:
    right = Gaussian.log_prob
    monkeypatch.setattr(Gaussian, "log_prob", lambda self, t, h: right(self, t, h) + 0.01)
    assert quadrature.worst_error(CASES["gaussian on real"], latents=1) == pytest.approx(np.expm1(0.01), rel=1e-6)


def test_rescaled_columns_shift_the_exported_bound_and_a_missing_jacobian_is_detected() -> None:
    trained = run(rescaling._config(2), device="cpu", rows=rescaling._rows())
    before = rescaling.exported(trained.vae, trained.rows)
    a, b = np.array([1e-5, -30.0, 1, 1, -1, 1, 2, 1e4]), np.linspace(-3, 3, rescaling.D)
    vae, rows = rescaling.mapped(trained, a, b)
    after = rescaling.exported(vae, rows)
    size = 1 + np.abs(before["log_likelihood"]) + np.abs(before["kl"])
    assert (np.abs(after["elbo"] - before["elbo"] + np.log(np.abs(a)).sum()) / size).max() < rescaling.TARGET
    forgotten = rescaling.exported(vae, replace(rows, x=trained.rows.x))
    assert np.abs(forgotten["elbo"] - before["elbo"] + np.log(np.abs(a)).sum()).max() > 1.0


def test_importance_sampling_with_many_draws_is_closer_to_the_evidence_than_the_elbo() -> None:
    one = case("gaussian, scale from the network")
    nll = minus_log_evidence(one.vae, one.x[:5], draws=2000, seed=1)
    again = minus_log_evidence(one.vae, one.x[:5], draws=2000, seed=2)
    eps = torch.randn(5, 64, one.latent_dim, generator=torch.Generator().manual_seed(0))
    minus_elbo = -one.vae.bound(one.x[:5], eps).elbo.detach()
    assert (nll < minus_elbo + 0.05).all()
    assert torch.allclose(nll, again, atol=0.2)
