"""Functions that export exactly: each gives in ONNX what it gives in torch. Knows no model.

The exporter's decompositions of log_sigmoid, binary cross-entropy, logaddexp and log1p overflow, saturate or lose small
arguments without a warning; these forms use plain operations where a graph is being made, and torch's own elsewhere
(whose gradients are exact too).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

HALF_LOG_2PI = 0.5 * math.log(2.0 * math.pi)


def log1p(t: Tensor) -> Tensor:
    """log(1 + t) for t > -1, small t kept: with u = 1 + t it is log(u) t / (u - 1), and t where u rounds to 1.

    Source: Kahan's form, in Goldberg (1991), "What every computer scientist should know about floating-point
    arithmetic", theorem 4.
    """
    if not torch.compiler.is_exporting():
        return torch.log1p(t)
    u = 1.0 + t
    small = u == 1.0
    return torch.where(small, t, torch.log(u) * t / torch.where(small, 1.0, u - 1.0))


def softplus(x: Tensor) -> Tensor:
    """log(1 + exp(x)) = relu(x) + log1p(exp(-|x|)): the relative error stays at rounding, since scales are logged."""
    if not torch.compiler.is_exporting():
        return F.softplus(x)
    return torch.relu(x) + log1p(torch.exp(-x.abs()))


def softplus_inverse(y: float) -> float:
    """x with softplus(x) = y > 0."""
    return y + math.log(-math.expm1(-y))


def log_sigmoid(x: Tensor) -> Tensor:
    """log(1 / (1 + exp(-x))) = -softplus(-x)."""
    return -softplus(-x)


def logaddexp(a: Tensor, b: Tensor) -> Tensor:
    """log(exp(a) + exp(b)) = max(a, b) + log1p(exp(-|a - b|))."""
    if not torch.compiler.is_exporting():
        return torch.logaddexp(a, b)
    return torch.maximum(a, b) + log1p(torch.exp(-(a - b).abs()))


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """log p(x) of x in {0, 1}: x log sigmoid(l) + (1 - x) log sigmoid(-l) = -softplus((1 - 2 x) l)."""
    return -softplus((1.0 - 2.0 * x) * logits)


def log_mean_exp(x: Tensor) -> Tensor:
    """log (1/K) sum_k exp(x_k) over the last axis, (..., K) -> (...)."""
    peak = x.amax(dim=-1, keepdim=True)
    return (peak + torch.log(torch.exp(x - peak).mean(dim=-1, keepdim=True))).squeeze(-1)


def normal_cdf(x: Tensor) -> Tensor:
    """Phi(x), the standard normal's distribution function."""
    return 0.5 * (1.0 + torch.erf(x * math.sqrt(0.5)))
