"""The exemplars that the posterior over exemplars gives the most weight.

N rows, M exemplars, k of them for each row.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

MOST = 5  # largest k


class Similar(NamedTuple):
    """The k exemplars with the largest q(i|x), the largest first."""

    exemplar: Tensor  # (N, k) int64, index among the M exemplars
    weight: Tensor  # (N, k) float64, q(i|x)


def most_similar(log_kernels: Tensor) -> Similar:
    """The k = min(MOST, M) exemplars with the largest q(i|x) = softmax_i of the log kernels at the row, (N, M) float64.

    The prior is a mixture of the kernels with equal weights, so q(i|x) is the posterior of its component.
    """
    largest, exemplar = torch.topk(log_kernels, min(MOST, log_kernels.shape[1]), dim=1)  # (N, k) each
    log_weight = largest - log_kernels.logsumexp(1, keepdim=True)
    return Similar(exemplar, log_weight.exp())
