"""Sampling from the model, and decoding latents."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtime.conftest import CLOSE, assert_same
from vaekit.errors import InputError
from vaekit.runtime.latents import MAX_LATENT
from vaekit.runtime.sampling import SampleDraws


def test_samples_repeat_with_their_seed_and_a_larger_n_begins_with_the_same_rows(loaded):
    for observe in (False, True):
        few, many = loaded.sample(5, seed=7, observe=observe), loaded.sample(50, seed=7, observe=observe)
        assert_same(many[:5], few)
        assert (loaded.sample(5, seed=8, observe=observe).samples != few.samples).any()


@pytest.mark.parametrize("observe", [False, True])
def test_rows_of_draws_may_be_requested_in_any_order_and_repeatedly(loaded, observe):
    draws = SampleDraws(loaded.manifest, 7, temperature=0.8, observe=observe)
    want = loaded.sample(12, seed=7, temperature=0.8, observe=observe)
    for start, stop in ((0, 1), (1, 5), (5, 12), (3, 4), (8, 12), (0, 12)):
        assert_same(loaded.samples_from_draws(draws.rows(start, stop)), want[start:stop])


def test_a_sample_is_the_mean_given_its_latent_or_a_draw_around_it(loaded):
    mean, draw = loaded.sample(20, seed=7), loaded.sample(20, seed=7, observe=True)
    np.testing.assert_array_equal(mean.latents, draw.latents)
    np.testing.assert_allclose(loaded.decode(mean.latents).mean, mean.samples, **CLOSE)
    assert (mean.samples != draw.samples).any()


def test_a_temperature_scales_the_noise_of_the_prior(loaded):
    warm, cold = loaded.sample(20, seed=7, temperature=0.5), loaded.sample(20, seed=7, temperature=0.0)
    np.testing.assert_allclose(warm.latents, 0.5 * loaded.sample(20, seed=7).latents, rtol=1e-6)
    np.testing.assert_array_equal(cold.latents, 0.0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n": 0}, "n: 0 is not at least 1"),
        ({"temperature": -1.0}, "temperature: -1.0"),
        ({"temperature": float("nan")}, "temperature: nan"),
        ({"temperature": float("inf")}, "temperature: inf"),
    ],
)
def test_invalid_sampling_options_are_refused(loaded, options, message):
    with pytest.raises(InputError, match=message):
        loaded.sample(**{"n": 1, "seed": 0, **options})


@pytest.mark.parametrize("temperature", [1e30, 1e308])
def test_a_huge_temperature_still_gives_finite_samples(loaded, temperature):
    got = loaded.sample(5, seed=0, temperature=temperature)
    assert np.isfinite(got.samples).all()
    assert np.abs(got.latents).max() <= MAX_LATENT


@pytest.mark.parametrize(
    ("z", "message"),
    [
        ([[0.0] * 7], r"latents: shape \(1, 7\), expected \(N, 8\)"),
        ([0.0] * 8, r"latents: shape \(8,\), expected \(N, 8\)"),
        (np.empty((0, 8)), r"latents: shape \(0, 8\), expected \(N, 8\) with N >= 1"),
        ([[0.0] * 7 + [float("nan")]], r"row 0, latent 7: not within .*: nan"),
        ([[0.0] * 8, [1e7] + [0.0] * 7], r"row 1, latent 0: not within \+-1e\+06: 10000000.0"),
        ([[0.0] * 8, [0.0]], r"latents: expected an array of numbers \(N, 8\)"),
        ([["x"] * 8], r"latents: expected an array of numbers \(N, 8\)"),
        ([[None] * 8], r"row 0, latent 0: not within .*: nan"),
        ([[10**400] * 8], r"latents: expected an array of numbers \(N, 8\)"),
    ],
)
def test_invalid_latents_are_refused(breast_cancer, z, message):
    with pytest.raises(InputError, match=message):
        breast_cancer.decode(z)


def test_latents_at_the_limit_are_decoded_to_finite_numbers(loaded):
    z = np.full((2, loaded.manifest.latent_dim), MAX_LATENT) * [[1.0], [-1.0]]
    got = loaded.decode(z)
    assert np.isfinite(got.mean).all()
    assert got.scale is None or (np.isfinite(got.scale).all() and (got.scale > 0).all())
