"""Exact intervals of rates, and the false alarms that chance explains."""

from __future__ import annotations

import pytest
from scipy.stats import betabinom

from vaekit.bundle.intervals import alarms_by_chance, chance_of_alarms


@pytest.mark.parametrize(("hits", "n", "rows"), [(0, 10, 99), (3, 71, 72), (12, 71, 72), (50, 400, 359), (1, 1, 19)])
def test_the_chance_of_many_alarms_is_that_of_the_beta_binomial_law(hits: int, n: int, rows: int) -> None:
    a = 0.05 * (rows + 1)
    want = betabinom.sf(hits - 1, n, a, rows + 1 - a)
    assert chance_of_alarms(hits, n, rows, 0.05) == pytest.approx(want, rel=1e-6, abs=1e-12)


@pytest.mark.parametrize(("n", "rows"), [(1, 19), (71, 72), (569, 72), (5000, 1000)])
def test_the_range_by_chance_has_the_quantiles_of_the_law(n: int, rows: int) -> None:
    law = betabinom(n, 0.05 * (rows + 1), 0.95 * (rows + 1))
    assert alarms_by_chance(n, rows, 0.05) == (law.ppf(0.025), law.ppf(0.975))


def test_the_range_of_a_large_run_is_that_of_the_rate() -> None:
    low, high = alarms_by_chance(10**7, 359, 0.05)
    assert low / 10**7 == pytest.approx(0.0302, abs=5e-4)  # quantiles of Beta(18, 342)
    assert high / 10**7 == pytest.approx(0.0746, abs=5e-4)
