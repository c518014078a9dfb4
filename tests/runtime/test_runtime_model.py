"""Results of a loaded model: independent of the other rows in a call, reproducible, and finite."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from tests.runtime.conftest import assert_same
from vaekit.errors import InputError, NotFinite
from vaekit.runtime import Elbo, Model, Posterior, operations


def results(loaded: Model, rows: Any) -> list[Any]:
    z = loaded.encode(rows).mu
    return [loaded.encode(rows), loaded.decode(z), loaded.elbo(rows), loaded.elbo(rows, features=True)]


def test_shapes_and_types_are_those_of_the_manifest(loaded, rows):
    n, z, shape = len(rows), loaded.manifest.latent_dim, loaded.spec.row_shape
    posterior, decoded, elbo, surprise = results(loaded, rows)
    assert posterior.mu.shape == posterior.sigma.shape == (n, z)
    assert (posterior.sigma > 0).all()
    assert decoded.mean.shape == (n, *shape)
    assert (decoded.scale is None) == (loaded.manifest.likelihood.name == "bernoulli")
    for name in ("elbo", "log_likelihood", "kl", "log_evidence", "score"):
        assert getattr(elbo, name).shape == (n,)
    assert elbo.feature_log_likelihood is None
    assert surprise.feature_log_likelihood.shape == (n, *shape)
    for operation, graph in loaded.manifest.operations.items():
        assert {out.name for out in graph.outputs} == set(loaded.graphs[operation].outputs)


def test_results_do_not_depend_on_the_other_rows(loaded, rows):
    together = results(loaded, rows)
    order = np.random.default_rng(0).permutation(len(rows))
    shuffled = results(loaded, rows[order])
    for one, other in zip(together, shuffled, strict=True):
        assert_same(type(one)(**{n: None if a is None else a[order] for n, a in one.arrays().items()}), other)
    for i in (0, 7, len(rows) - 1):
        alone = results(loaded, rows[i : i + 1])
        for one, other in zip(together, alone, strict=True):
            assert_same(one[i : i + 1], other)


def test_an_outlier_does_not_affect_the_other_rows_of_a_batch(breast_cancer, benign_rows):
    batch = np.vstack([np.full((1, 30), 1e300), benign_rows[:5], np.full((1, 30), -1e308)])
    assert_same(breast_cancer.elbo(batch, features=True)[1:6], breast_cancer.elbo(benign_rows[:5], features=True))


def test_chunked_calls_give_the_same_results_as_one_call(loaded, rows, monkeypatch):
    whole = [*results(loaded, rows), loaded.sample(50, seed=1), loaded.sample(50, seed=1, observe=True)]
    sizes = []
    real = Model.run
    monkeypatch.setattr(Model, "run", lambda *a: (sizes.append(len(next(iter(a[2].values())))), real(*a))[1])
    monkeypatch.setattr(operations, "MAX_ELEMENTS", 7 * max(loaded.spec.dim, loaded.manifest.width))
    chunked = [*results(loaded, rows), loaded.sample(50, seed=1), loaded.sample(50, seed=1, observe=True)]
    assert max(sizes) == 7
    for one, other in zip(whole, chunked, strict=True):
        assert_same(one, other)


def test_a_chunk_has_at_least_one_row(loaded, rows, monkeypatch):
    monkeypatch.setattr(operations, "MAX_ELEMENTS", 1)
    assert len(loaded.elbo(rows[:3])) == 3


def test_elbo_is_log_likelihood_minus_kl_and_the_score_is_its_negative(loaded, rows):
    got = loaded.elbo(rows)
    np.testing.assert_allclose(got.elbo, got.log_likelihood - got.kl, rtol=1e-6, atol=1e-4)
    np.testing.assert_array_equal(got.score, -got.elbo)
    assert (got.kl >= 0).all()


def test_feature_log_likelihoods_sum_to_the_log_likelihood(loaded, rows):
    got = loaded.elbo(rows, features=True)
    total = got.feature_log_likelihood.reshape(len(rows), -1).sum(axis=1)
    np.testing.assert_allclose(total, got.log_likelihood, rtol=1e-5, atol=1e-3)
    assert_same(Elbo(**{**got.arrays(), "feature_log_likelihood": None}), loaded.elbo(rows))


def test_the_importance_weighted_bound_is_never_below_the_elbo_for_any_k(loaded, rows):
    some = rows[:8]
    for k in range(2, loaded.manifest.draws.maximum + 1):
        got = loaded.elbo(some, num_samples=k)
        slack = 1e-5 * (1 + np.abs(got.log_likelihood) + got.kl)  # float32 in the graph
        assert (got.log_evidence >= got.elbo - slack).all(), k


def test_the_importance_weighted_bound_is_tighter_with_more_draws(loaded, rows):
    gap = [np.mean(got.log_evidence - got.elbo) for got in (loaded.elbo(rows[:40], num_samples=k) for k in (2, 256))]
    assert gap[1] > gap[0]


def test_results_repeat_with_default_draws_and_with_the_same_seed(loaded, rows):
    assert_same(loaded.elbo(rows), loaded.elbo(rows))
    assert_same(loaded.elbo(rows, seed=3), loaded.elbo(rows, seed=3))
    assert (loaded.elbo(rows, seed=3).log_likelihood != loaded.elbo(rows, seed=4).log_likelihood).any()
    np.testing.assert_array_equal(loaded.draws(4, 3), loaded.draws(4, 3))


def test_the_default_k_is_that_of_the_manifest(loaded, rows):
    assert_same(loaded.elbo(rows), loaded.elbo(rows, num_samples=loaded.manifest.draws.default))


def test_given_eps_may_be_shared_by_all_rows_or_differ_by_row(loaded, rows):
    some = rows[:6]
    shared = loaded.draws(5, seed=1)
    per_row = np.broadcast_to(shared, (6, *shared.shape))
    want = loaded.elbo(some, num_samples=5, seed=1)
    assert_same(loaded.elbo(some, eps=shared), want)
    assert_same(loaded.elbo(some, eps=per_row), want)
    each = np.random.default_rng(0).standard_normal((6, 1, loaded.manifest.latent_dim))
    alone = loaded.elbo(some[2:3], eps=each[2])
    assert_same(loaded.elbo(some, eps=each)[2:3], alone)


@pytest.mark.parametrize("shape", [(3,), (4, 99), (5, 4, 8), (0, 8)])
def test_eps_of_another_shape_is_refused(breast_cancer, benign_rows, shape):
    with pytest.raises(InputError, match="eps: shape"):
        breast_cancer.elbo(benign_rows[:2], eps=np.zeros(shape))


@pytest.mark.parametrize("k", [-1, 0, 1, 257])
def test_a_k_out_of_range_is_refused(loaded, rows, k):
    for options in ({}, {"seed": 1}):
        with pytest.raises(InputError, match=f"num_samples: {k} is not between 2 and 256"):
            loaded.elbo(rows, num_samples=k, **options)


@pytest.mark.parametrize("value", [1e300, -1e308, np.finfo(float).max, 5e-324, -0.0, 2.0**63])
@pytest.mark.parametrize("where", ["every column", "one column"])
def test_every_finite_row_gets_finite_results(breast_cancer, benign_rows, value, where):
    row = np.full((1, 30), value) if where == "every column" else benign_rows[:1].copy()
    row[0, 3] = value
    for k in (2, 16, 256):
        got = breast_cancer.elbo(row, num_samples=k, features=True)
        assert all(np.isfinite(a).all() for a in got.arrays().values() if a is not None)
    posterior = breast_cancer.encode(row)
    assert np.isfinite(posterior.mu).all()
    assert (posterior.sigma > 0).all()


def test_the_score_rises_with_the_distance_of_a_row_from_the_data(breast_cancer, benign_rows):
    rows = np.repeat(benign_rows[:1], 4, axis=0)
    rows[:, 3] *= [1.0, 1e2, 1e4, 1e6]
    assert (np.diff(breast_cancer.elbo(rows).score) > 0).all()


def test_extreme_images_get_finite_results(digits):
    for image in (np.zeros((1, 8, 8, 1), np.uint8), np.full((1, 8, 8, 1), 255, np.uint8)):
        got = digits.elbo(image, features=True)
        assert all(np.isfinite(a).all() for a in got.arrays().values() if a is not None)


def test_rows_may_be_lists_or_mappings(breast_cancer, benign_rows):
    rows = benign_rows[:3]
    objects = [dict(zip(breast_cancer.spec.names, row, strict=True)) for row in rows.tolist()]
    for form in (rows.tolist(), objects):
        assert_same(breast_cancer.elbo(form), breast_cancer.elbo(rows))


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_row_with_an_infinity_is_refused_by_name_and_one_with_nan_if_strict(
    breast_cancer, benign_rows, value, strict
):
    rows = benign_rows[:3].copy()
    rows[2, 1] = value
    for call in (breast_cancer.encode, breast_cancer.elbo):
        if strict or value == np.inf:
            with pytest.raises(InputError, match=rf"row 2, feature 'mean texture': not finite: {value}"):
                call(rows, strict=strict)
        else:
            call(rows, strict=strict)


def test_a_graph_output_with_nan_is_an_error(breast_cancer, benign_rows, monkeypatch):
    class Broken:
        outputs = ("mu", "sigma")
        takes_draws = False

        def run(self, feeds: Any, _: int) -> list[Any]:
            outputs = [np.zeros((len(feeds["x"]), 8)) for _ in self.outputs]
            outputs[1][2, 3] = np.nan
            return outputs

    monkeypatch.setitem(breast_cancer.graphs, "encode", Broken())
    with pytest.raises(NotFinite, match="breast-cancer: encode: row 2: output sigma is not finite"):
        breast_cancer.encode(benign_rows)


def test_calls_from_many_threads_give_the_same_results_as_one_thread(loaded, rows):
    want = results(loaded, rows[:64])

    def call(i: int) -> list[Any]:
        at = slice(i % 48, i % 48 + 16)
        return [at, *results(loaded, rows[at]), loaded.sample(4, seed=i)]

    with ThreadPoolExecutor(8) as pool:
        got = list(pool.map(call, range(64)))
    for i, (at, *those, sample) in enumerate(got):
        for one, other in zip(want, those, strict=True):
            assert_same(one[at], other)
        assert_same(sample, loaded.sample(4, seed=i))


def test_the_reason_is_given_if_there_is_no_calibration(loaded):
    k = loaded.manifest.draws.default
    assert loaded.calibration().n == loaded.calibration(k).n > 50
    assert str(loaded.calibration(k + 1)).startswith(
        f"num_samples {k + 1} has no calibration; calibrated: {k}; vae cal"
    )
    assert str(loaded.calibration(seed=3)).endswith("p-values need the default draws; leave the seed out")
    assert "sets a seed" in loaded.calibration(None, seed=1)


def test_bits_per_dimension_are_given_only_for_pixels(breast_cancer, digits, benign_rows, digit_images):
    assert breast_cancer.bits_per_dim(breast_cancer.elbo(benign_rows)) is None
    elbo = digits.elbo(digit_images)
    np.testing.assert_allclose(digits.bits_per_dim(elbo), -elbo.elbo / (64 * np.log(2)))


def test_results_are_sliced_and_joined_by_row():
    parts = [Posterior(np.full((n, 2), n, np.float32), np.ones((n, 2), np.float32)) for n in (1, 2, 3)]
    whole = Posterior.concatenate(parts)
    assert len(whole) == 6
    np.testing.assert_array_equal(whole[1:3].mu, parts[1].mu)
    assert (
        Elbo(**dict.fromkeys(("elbo", "log_likelihood", "kl", "log_evidence"), np.zeros(2)))[:1].feature_log_likelihood
        is None
    )
