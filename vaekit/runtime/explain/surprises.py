"""Computes the surprise of each cell.

N rows, D features (for images in H, W, C order); nats.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.runtime.results import Array, Elbo


def surprise(elbo: Elbo, rows: NDArray[Any]) -> Array:
    """-E_q[log p(x_d|z)] of each feature, (N, D), nats; NaN where a cell is missing.

    With a kernel prior it is -log p(x_d | the other cells).

    Args:
        elbo: the result of Model.elbo for the rows, with features=True.
        rows: (N, ...), checked.
    """
    assert elbo.feature_log_likelihood is not None
    found = -elbo.feature_log_likelihood.reshape(len(rows), -1)
    if rows.dtype.kind != "f":
        return found
    return np.where(np.isnan(rows.reshape(found.shape)), np.nan, found)
