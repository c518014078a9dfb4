"""Bounds from many draws, compared with closed forms and the graph; ranking figures, compared with scikit-learn."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from scipy.stats import multivariate_normal
from sklearn.metrics import average_precision_score, roc_auc_score

from vaekit.bundle.ranking import auroc, average_precision
from vaekit.runtime.operations import MAX_ELEMENTS
from vaekit.runtime.results import Elbo
from vaekit.scoring.evaluation import evidence
from vaekit.scoring.evaluation.evaluate import _LatentVariance
from vaekit.scoring.evaluation.evidence import estimate


class Linear:
    """p(z) = N(0, I), p(x|z) = N(W z, s^2 I), whose log p(x) is known; q(z|x) is the posterior with twice its sigma."""

    def __init__(self, dim: int = 4, latent_dim: int = 2, s: float = 0.5) -> None:
        self.w = np.random.default_rng(0).standard_normal((dim, latent_dim))
        self.s = s
        self.spec = SimpleNamespace(dim=dim)
        self.manifest = SimpleNamespace(latent_dim=latent_dim, width=64, components=0)
        self.precision = np.eye(latent_dim) + self.w.T @ self.w / s**2
        self.sigma = 2.0 * np.sqrt(np.diag(np.linalg.inv(self.precision)))
        self.calls: list[tuple[int, ...]] = []

    def posterior_mean(self, x: Any) -> Any:
        return x @ self.w @ np.linalg.inv(self.precision).T / self.s**2

    def log_p(self, x: Any) -> Any:
        covariance = self.w @ self.w.T + self.s**2 * np.eye(self.spec.dim)
        return multivariate_normal(cov=covariance).logpdf(x)

    def elbo_checked(self, x: Any, *, eps: Any) -> Elbo:
        self.calls.append(eps.shape)
        z = self.posterior_mean(x)[:, None] + self.sigma * eps.astype(np.float64)  # (N, K, Z)
        residual = (x[:, None] - z @ self.w.T) / self.s
        log_p_x = (-0.5 * residual**2 - np.log(self.s) - 0.5 * np.log(2 * np.pi)).sum(-1)  # (N, K)
        log_ratio = (0.5 * (eps**2 - z**2) + np.log(self.sigma)).sum(-1)
        mu = self.posterior_mean(x)
        kl = (0.5 * (mu**2 + self.sigma**2 - 1) - np.log(self.sigma)).sum(-1)
        log_likelihood = log_p_x.mean(1)
        log_evidence = np.logaddexp.reduce(log_p_x + log_ratio, axis=1) - np.log(eps.shape[1])
        return Elbo(elbo=log_likelihood - kl, log_likelihood=log_likelihood, kl=kl, log_evidence=log_evidence)

    def exact_elbo(self, x: Any) -> Any:
        """log p(x) - KL(q || p(z|x))."""
        q = np.diag(self.sigma**2)
        gap = 0.5 * (np.trace(self.precision @ q) - len(q) - np.linalg.slogdet(self.precision @ q)[1])
        return self.log_p(x) - gap


def test_log_evidence_rises_with_k_from_the_elbo_to_the_exact_value() -> None:
    model = Linear()
    x = np.random.default_rng(1).standard_normal((300, 4))
    counts = (1, 10, 100, 5000)
    bounds = estimate(model, x, counts, seed=0)  # type: ignore[arg-type]  # has the attributes that estimate uses
    gap = bounds.log_evidence - model.log_p(x)[:, None]  # (N, number of K)
    error = gap.std(axis=0, ddof=1) / np.sqrt(len(x))
    exact = model.exact_elbo(x) - model.log_p(x)
    assert abs(gap[:, 0].mean() - exact.mean()) < 4 * error[0]  # K = 1 is the ELBO in expectation
    assert (np.diff(gap.mean(axis=0)) > 0).all()
    assert abs(gap[:, -1].mean()) < 4 * error[-1] + 1e-3
    assert error[-1] < 0.01 < 0.1 < -exact.mean()  # the tolerance above is small against the gap
    np.testing.assert_allclose(bounds.elbo, model.exact_elbo(x), atol=6 * (bounds.elbo - exact).std() / np.sqrt(5000))


def test_results_do_not_depend_on_the_size_of_graph_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(1).standard_normal((7, 4))
    whole, parts = Linear(), Linear()
    want = estimate(whole, x, (3, 50), seed=5)  # type: ignore[arg-type]  # as above
    monkeypatch.setattr(evidence, "call_shape", lambda _: (2, 4))
    reported: list[int] = []
    got = estimate(parts, x, (3, 50), seed=5, on_rows=reported.append)  # type: ignore[arg-type]  # as above
    for name, values in want.arrays().items():
        np.testing.assert_allclose(getattr(got, name), values, rtol=1e-12, err_msg=name)
    assert max(n for n, _, _ in parts.calls) == 2
    assert max(k for _, k, _ in parts.calls) == 4
    assert reported == [2, 4, 6, 7]


def test_a_graph_call_stays_within_the_limit_of_the_runtime() -> None:
    for dim, width, components in ((30, 128, 0), (64, 128, 6000), (784, 400, 0), (196608, 10**6, 0), (3, 10**8, 20)):
        manifest = SimpleNamespace(latent_dim=8, width=width, components=components)
        model: Any = SimpleNamespace(spec=SimpleNamespace(dim=dim), manifest=manifest)
        rows, draws = evidence.call_shape(model)
        assert min(rows, draws) >= 1
        widest = max(dim, width, components)
        assert rows * draws * widest <= max(MAX_ELEMENTS, widest)


def test_draws_differ_between_rows_and_do_not_depend_on_the_batch(breast_cancer, benign_rows) -> None:
    twice = np.stack([benign_rows[0], benign_rows[0], benign_rows[1]])
    together = estimate(breast_cancer, twice, (1, 20), seed=3)
    alone = estimate(breast_cancer, twice[1:2], (1, 20), seed=3, first=1)
    np.testing.assert_allclose(together.log_evidence[1], alone.log_evidence[0], rtol=1e-5)
    assert together.log_evidence[0, 0] != together.log_evidence[1, 0]  # equal rows, different draws


def test_estimates_above_k_max_equal_one_call_of_the_graph(breast_cancer, benign_rows) -> None:
    x, k = benign_rows[:3], breast_cancer.manifest.draws.maximum + 44
    bounds = estimate(breast_cancer, x, (1, k), seed=7)
    rngs = [np.random.default_rng([7, n]) for n in range(3)]
    eps = np.stack([rng.standard_normal((k, breast_cancer.manifest.latent_dim), dtype=np.float32) for rng in rngs])
    one = breast_cancer.elbo(x, eps=eps)
    np.testing.assert_allclose(bounds.log_evidence[:, 1], one.log_evidence, rtol=1e-5)
    np.testing.assert_allclose(bounds.elbo, one.elbo, rtol=1e-5)
    first = breast_cancer.elbo(x, eps=eps[:, :1])
    np.testing.assert_allclose(bounds.log_evidence[:, 0], first.log_evidence, rtol=1e-5)


@pytest.mark.parametrize("levels", [3, 1000])
def test_auroc_and_average_precision_match_scikit_learn_with_ties(levels: int) -> None:
    rng = np.random.default_rng(levels)
    normal, odd = rng.integers(0, levels, 90) / 7.0, rng.integers(levels // 4, levels + 2, 40) / 7.0
    labels, scores = np.repeat([0, 1], [90, 40]), np.concatenate([normal, odd])
    assert auroc(normal, odd)[0] == pytest.approx(roc_auc_score(labels, scores), rel=1e-12)
    assert average_precision(normal, odd) == pytest.approx(average_precision_score(labels, scores), rel=1e-12)


def test_the_standard_error_of_auroc_is_its_standard_deviation_over_samples() -> None:
    rng = np.random.default_rng(0)
    found = [auroc(rng.standard_normal(60), rng.standard_normal(40) + 1.0) for _ in range(2000)]
    areas, errors = np.array(found).T
    assert np.sqrt(np.square(errors).mean()) == pytest.approx(areas.std(), rel=0.06)
    assert auroc(np.zeros(1), np.ones(3)) == (1.0, None)


def test_the_variance_of_latents_is_merged_exactly() -> None:
    mu = np.random.default_rng(0).standard_normal((50, 2, 3)) + 100.0
    variance = _LatentVariance()
    for part in (mu[:1], mu[1:30], mu[30:]):
        variance.add(part)
    variance.add(None)
    variance = variance._squares / variance._n
    np.testing.assert_allclose(variance, mu.var(axis=0), rtol=1e-12)
