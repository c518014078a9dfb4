"""The smallest scales that kernels may have.

N rows, Z columns; model units. Columns are their observed values, which may be fewer than N.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vaekit_training.kernels.mixture import Shape

LEAST_SCALE = 0.01  # smallest scale, in standard deviations of the column
LEAST_REPEATED = 0.1  # smallest scale of a column of repeated values, if the covariances are diagonal
MOST_REPEATS = 0.5  # a table, or a column, repeats its values if a larger share of its cells does


def smallest_scales(columns: Sequence[Tensor], shape: Shape) -> list[Tensor]:
    """Candidates for the smallest scale of each of Z columns, (Z,) each.

    The first is half of the smallest gap between distinct values, at least LEAST_SCALE, and for diagonal covariances at
    least LEAST_REPEATED in columns of repeated values. In a column of few rare values the gap is many standard
    deviations, and then such a value hardly counts. The second, if it differs, has LEAST_REPEATED there instead.
    """
    if not columns:
        return [torch.zeros(0)]
    distinct = [torch.unique(column) for column in columns]
    gaps = torch.stack([one.diff().min() / 2.0 if len(one) > 1 else torch.zeros(()) for one in distinct])
    repeated = torch.tensor([repeats([column]) > MOST_REPEATS for column in columns]) & (shape == "diagonal")
    least = torch.where(repeated, LEAST_REPEATED, LEAST_SCALE).to(gaps.dtype)
    wide, narrow = least.maximum(gaps), torch.where(repeated, least, least.maximum(gaps))
    return [wide] if torch.equal(wide, narrow) else [wide, narrow]


def repeats(columns: Sequence[Tensor]) -> float:
    """The share of observed values that occur in an earlier row of the same column."""
    return 1.0 - sum(len(torch.unique(column)) for column in columns) / sum(map(len, columns))
