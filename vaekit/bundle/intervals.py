"""Exact intervals of rates."""

from __future__ import annotations

COVERAGE = 0.95


def clopper_pearson(hits: int, n: int, coverage: float = COVERAGE) -> tuple[float, float]:
    """The exact interval of a rate, from `hits` of n independent rows: it contains the rate at least so often.

        low = B(a / 2; hits, n - hits + 1),  high = B(1 - a / 2; hits + 1, n - hits),  a = 1 - coverage

    B(.; a, b) are quantiles of the beta distribution (Clopper and Pearson 1934).
    """
    from scipy.special import betaincinv

    assert 0 <= hits <= n > 0
    tail = (1.0 - coverage) / 2.0
    low = 0.0 if hits == 0 else float(betaincinv(hits, n - hits + 1, tail))
    high = 1.0 if hits == n else float(betaincinv(hits + 1, n - hits, 1.0 - tail))
    return low, high
