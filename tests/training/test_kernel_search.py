"""The search for kernels: what it chooses by rows left out, and the smallest scales it allows."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from vaekit_training.kernels.floors import LEAST_REPEATED, LEAST_SCALE, repeats, smallest_scales
from vaekit_training.kernels.levels import numbers
from vaekit_training.kernels.search import Kernels, chosen


def standardised(x: np.ndarray) -> Tensor:
    return torch.from_numpy((x - x.mean(axis=0)) / x.std(axis=0)).float()


def fit(x: Tensor, components: int = 3000, seed: int = 0) -> Kernels:
    return chosen(numbers(x), torch.ones_like(x, dtype=torch.bool), components, torch.Generator().manual_seed(seed))


def log_density(found: Kernels, x: Tensor) -> Tensor:
    return found.log_density(numbers(x))


def test_normal_rows_get_wide_kernels_with_their_covariance() -> None:
    rng = np.random.default_rng(0)
    root = rng.standard_normal((4, 4))
    x = standardised(rng.standard_normal((2500, 4)) @ root)
    found = fit(x[:2000])
    truth = torch.distributions.MultivariateNormal(torch.zeros(4), torch.cov(x.T))
    gap = float(truth.log_prob(x[2000:]).mean() - log_density(found, x[2000:]).mean())
    assert gap < 0.05
    assert found.h >= 0.8


def test_rows_on_a_curve_get_narrow_kernels() -> None:
    rng = np.random.default_rng(0)
    u = rng.uniform(0, 4 * np.pi, 1600)
    x = standardised(np.stack([u * np.cos(u), u * np.sin(u)], axis=1) + 0.05 * rng.standard_normal((1600, 2)))
    found = fit(x)
    assert found.h <= 0.6
    assert len(found.mean) > 1


def test_the_chosen_trial_has_the_highest_log_density_and_all_are_kept() -> None:
    x = standardised(np.random.default_rng(1).standard_normal((300, 3)))
    found = fit(x, components=100)
    best = max(found.trials, key=lambda one: one.log_density)
    assert (found.h, found.nu) == (best.h, best.nu)
    assert len(found.exemplars) == 100
    assert {one.nu for one in found.trials} == {1.0, 3.0, 10.0, math.inf}


def test_few_exemplars_are_enough_for_wide_kernels_and_all_are_kept_for_narrow_ones() -> None:
    rng = np.random.default_rng(0)
    wide = fit(standardised(rng.standard_normal((2500, 4)) @ rng.standard_normal((4, 4))))
    assert len(wide.exemplars) < 1000
    u = rng.uniform(0, 12 * np.pi, 2500)
    curve = np.stack([u * np.cos(u), u * np.sin(u)], axis=1) + 0.05 * rng.standard_normal((2500, 2))
    assert len(fit(standardised(curve)).exemplars) > 1000


def test_too_few_rows_to_leave_some_out_get_one_normal_kernel_shape() -> None:
    found = fit(standardised(np.random.default_rng(1).standard_normal((8, 3))))
    assert (found.trials, found.nu, len(found.mean)) == ((), math.inf, 1)
    assert torch.isfinite(log_density(found, torch.zeros(1, 3))).all()


def test_the_smallest_scales_are_half_of_the_gap_or_narrower_in_repeated_columns() -> None:
    rng = np.random.default_rng(0)
    rare = torch.from_numpy((rng.random(1000) < 0.02) * 7.0).float()
    smooth = torch.from_numpy(rng.standard_normal(1000)).float()
    wide, narrow = smallest_scales([rare, smooth], "diagonal")
    assert wide.tolist() == [3.5, pytest.approx(LEAST_SCALE)]
    assert narrow.tolist() == [pytest.approx(LEAST_REPEATED), pytest.approx(LEAST_SCALE)]
    assert [one.tolist() for one in smallest_scales([rare, smooth], "full")] == [[3.5, pytest.approx(LEAST_SCALE)]]
    assert len(smallest_scales([smooth], "diagonal")) == 1
    assert repeats([rare]) == pytest.approx(0.998)


@pytest.mark.parametrize("seed", range(3))
def test_rare_flags_count_where_their_combinations_matter(seed: int) -> None:
    """In each row exactly one of ten flags is set. Half of the gap as the smallest scale would hide two set flags."""
    rng = np.random.default_rng(seed)
    flags = np.eye(10)[rng.choice(10, 1600, p=np.r_[0.82, np.full(9, 0.02)])]
    mean, scale = flags.mean(axis=0), flags.std(axis=0)
    found = fit(torch.from_numpy((flags - mean) / scale).float(), seed=seed)
    one, two = np.eye(10)[:5], np.eye(10)[1:6] + np.eye(10)[2:7]
    score = [-log_density(found, torch.from_numpy((rows - mean) / scale).float()) for rows in (one, two)]
    assert float(score[1].min()) > float(score[0].max()) + 3.0
