"""Selects the anomalies of a batch at a false-discovery rate, with the Benjamini-Hochberg procedure."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle.calibration import check_alpha, rows_to_resolve


class Discoveries(NamedTuple):
    """The rows of a batch that are selected as anomalies."""

    cut: float  # the highest p-value of a selected row; 0 if no row is selected
    mask: NDArray[np.bool_]  # (m,), True for a selected row


def benjamini_hochberg(p_value: ArrayLike, q: float) -> Discoveries:
    """The rows of a batch that the Benjamini-Hochberg step-up procedure selects, and their highest p-value.

        cut = max { p_(i) : p_(i) <= q i / m },  p_(1) <= ... <= p_(m)

    The expected share of false discoveries among the selected rows is at most q if the normal rows of the batch are
    independent draws from the distribution of the calibration rows. P-values that share one calibration are positively
    dependent (PRDS), which the procedure allows (Bates, Candes, Lei, Romano and Sesia 2023, theorem 2). The bound holds
    for the batch as a whole, not for a subset chosen afterwards.

    Args:
        p_value: (m,). Rows with NaN are not selected and do not count in m.
        q: the false-discovery rate.

    Raises:
        InputError: q is not between 0 and 1.
    """
    p = np.asarray(p_value, dtype=np.float64)
    cut = discovery_cut(*np.unique(p[~np.isnan(p)], return_counts=True), q)
    return Discoveries(cut, p <= cut)


def discovery_cut(p_values: ArrayLike, counts: ArrayLike, q: float) -> float:
    """The cut of benjamini_hochberg, computed from the number of rows with each p-value.

    A calibration with n rows gives only n + 1 different p-values, so n + 1 counts are enough for any number of rows.

    Args:
        p_values: distinct p-values, ascending, (v,).
        counts: number of rows with each, (v,).
        q: the false-discovery rate.

    Raises:
        InputError: q is not between 0 and 1.
    """
    check_alpha(q, "fdr")
    p, at_most = np.asarray(p_values, dtype=np.float64), np.cumsum(counts)  # (v,) each
    return float(p[p <= q * at_most / at_most[-1:]].max(initial=0.0))


def why_none(m: int, held_out: int, q: float) -> str:
    """Why no row of a batch is a discovery, and how many held-out rows would allow one, without a full stop.

    No p-value is below 1 / (n + 1), so that R of m rows can be discoveries only if R q / m >= 1 / (n + 1).

    Args:
        m: rows of the batch with a p-value, at least 1.
        held_out: n, the held-out rows that each of them is compared with.
        q: the false-discovery rate.
    """
    least = math.ceil(m / (q * (held_out + 1)) * (1 - 1e-12))  # R
    if least <= 1:
        return "no p-value is small enough among so many rows"
    return (
        f"{held_out:,} held-out rows are too few to find fewer than {least:,} of {m:,} rows; to find a single one, "
        f"calibrate on at least {rows_to_resolve(q / m):,} rows"
    )
