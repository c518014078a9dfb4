"""Which rows of a batch are anomalies together, at a false-discovery rate: Benjamini and Hochberg's procedure."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle.calibration import check_alpha


class Discoveries(NamedTuple):
    """Rows that are called anomalies together, with the false ones at most a stated share of them on average."""

    cut: float  # the highest p-value among them; 0 where there are none
    mask: NDArray[np.bool_]  # (m,)


def benjamini_hochberg(p_value: ArrayLike, q: float) -> Discoveries:
    """The rows of a batch whose p-values pass Benjamini and Hochberg's step-up procedure, and the highest of them.

        cut = max { p_(i) : p_(i) <= q i / m },  p_(1) <= ... <= p_(m)

    The expected share of false ones among the rows found is at most q where the batch's normal rows are independent
    draws of what the calibration rows are draws of: p-values that share one calibration are positively dependent
    (PRDS), which the procedure admits (Bates, Candes, Lei, Romano and Sesia 2023, theorem 2). It holds for the batch as
    a whole, and not for a part of it that is picked afterwards.

    Args:
        p_value: of p_value, (m,); a NaN is not judged, and does not count.
        q: the false-discovery rate.

    Raises:
        InputError: q is not between 0 and 1.
    """
    p = np.asarray(p_value, dtype=np.float64)
    cut = discovery_cut(*np.unique(p[~np.isnan(p)], return_counts=True), q)
    return Discoveries(cut, p <= cut)


def discovery_cut(p_values: ArrayLike, counts: ArrayLike, q: float) -> float:
    """The cut of benjamini_hochberg from how often each p-value was seen: n + 1 counts stand for any number of rows.

    Args:
        p_values: different ones, ascending, (v,).
        counts: rows that have each, (v,).
        q: the false-discovery rate.

    Raises:
        InputError: q is not between 0 and 1.
    """
    check_alpha(q, "fdr")
    p, at_most = np.asarray(p_values, dtype=np.float64), np.cumsum(counts)  # (v,) each
    return float(p[p <= q * at_most / at_most[-1:]].max(initial=0.0))
