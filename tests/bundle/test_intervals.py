"""Exact intervals of rates, and the false alarms that chance explains."""

from __future__ import annotations

import pytest
from scipy.stats import beta, betabinom

from vaekit.bundle import Calibration
from vaekit.bundle.intervals import ByChance, alarms_by_chance, chance_of_alarms

ALPHAS = (0.05, 0.1, 3 / 73)


@pytest.mark.parametrize("alpha", ALPHAS, ids=["0.05", "0.1", "a p-value"])
@pytest.mark.parametrize(("n", "rows"), [(1, 29), (71, 72), (569, 72), (5000, 1000)])
def test_false_alarms_by_chance_follow_the_beta_binomial_law(n: int, rows: int, alpha: float) -> None:
    k = Calibration.of(range(rows)).rank(alpha)
    law, found = betabinom(n, k, rows + 1 - k), alarms_by_chance(n, rows, alpha)
    assert (found.low, found.high) == (law.ppf(0.025), law.ppf(0.975))
    assert found.expected == pytest.approx(law.mean())
    for hits in (0, 1, found.high, n):
        assert chance_of_alarms(hits, n, rows, alpha) == pytest.approx(law.sf(hits - 1), rel=1e-6, abs=1e-10)


def test_the_range_of_a_large_run_is_that_of_the_rate() -> None:
    found = alarms_by_chance(10**7, 359, 0.05)
    assert found.low / 10**7 == pytest.approx(beta(18, 342).ppf(0.025), abs=5e-4)
    assert found.high / 10**7 == pytest.approx(beta(18, 342).ppf(0.975), abs=5e-4)


def test_nothing_is_flagged_by_chance_below_the_smallest_p_value() -> None:
    assert alarms_by_chance(100, 18, 0.05) == ByChance(0.0, 0, 0)
    assert (chance_of_alarms(0, 100, 18, 0.05), chance_of_alarms(1, 100, 18, 0.05)) == (1.0, 0.0)
