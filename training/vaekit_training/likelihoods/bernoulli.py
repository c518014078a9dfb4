"""Likelihoods of values that are 0 or 1, and of values between 0 and 1.

t (..., D) and h (..., D), the logits l, as in `base`.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit_training.functional import (
    bernoulli_log_prob,
    expm1,
    log1m_exp,
    log1p,
    log_ndtr,
    log_sinhc,
    logaddexp,
    normal_cdf,
)
from vaekit_training.likelihoods.base import Likelihood


class Bernoulli(Likelihood):
    """x_d in {0, 1} with logit l_d:  log p(x_d) = -softplus((1 - 2 x_d) l_d)."""

    mass = True
    parameters_in_raw_units = ("mean",)

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = self.width = dim

    def mean(self, h: Tensor) -> Tensor:
        """p = sigmoid(l), (..., D)."""
        return torch.sigmoid(h)

    def deviation(self, h: Tensor) -> Tensor:
        """sqrt(p (1 - p)) = e / (1 + e^2) with e = exp(-|l| / 2), (..., D)."""
        e = torch.exp(-0.5 * h.abs())  # (..., D)
        return e / (1.0 + e * e)

    def scale(self, h: Tensor) -> None:  # noqa: ARG002  as in the base class
        """None: the mean is the only parameter."""
        return

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """-softplus((1 - 2 t) l), (..., D)."""
        return bernoulli_log_prob(t, h)

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """1 if Phi(n) < p, else 0, (..., D), with n the first of each two normals."""
        return (normal_cdf(noise[..., 0]) < self.mean(h)).to(h.dtype)


class ContinuousBernoulli(Likelihood):
    """x_d in [0, 1] with logit l_d and density p(x) = exp(l x) / C(l), C(l) = (exp(l) - 1) / l.

        log p(x) = l (x - 1/2) - log( sinh(l/2) / (l/2) )

    This is the Bernoulli form with the normaliser that values between 0 and 1 need. It is computed by a series for
    |l| < 1, and with e = |l| elsewhere.

    Source: Loaiza-Ganem and Cunningham (2019), "The continuous Bernoulli".
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = self.width = dim

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """l (t - 1/2) - log( sinh(l/2) / (l/2) ), (..., D)."""
        small, w, e = _split(h)  # (..., D) each
        near = w * (t - 0.5) - log_sinhc(w)
        far = e.log() - e * torch.where(h > 0, 1.0 - t, t) - log1m_exp(e)
        return torch.where(small, near, far)

    def mean(self, h: Tensor) -> Tensor:
        """1/2 + coth(l/2) / 2 - 1/l, (..., D)."""
        small, w, e = _split(h)  # (..., D) each
        v = w * w
        near = 0.5 + w / 12.0 * (1.0 - v / 60.0 * (1.0 - v / 42.0 * (1.0 - v / 40.0 * (1.0 - v * 10.0 / 396.0))))
        far = 1.0 / e - torch.exp(-e) / -expm1(-e)  # for -|l|; for |l| it is 1 minus this
        return torch.where(small, near, torch.where(h > 0, 1.0 - far, far))

    def deviation(self, h: Tensor) -> Tensor:
        """sqrt( 1/l^2 - 1 / (4 sinh(l/2)^2) ), (..., D)."""
        small, w, e = _split(h)  # (..., D) each
        v = w * w
        near = 1.0 / 12.0 - v / 240.0 + v * v / 6048.0 - v**3 / 172800.0 + v**4 / 5322240.0
        q = torch.exp(-e)
        far = 1.0 / (e * e) - q / expm1(-e) ** 2
        return torch.sqrt(torch.where(small, near, far))

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """F^-1(v) with v = Phi(n), (..., D): 1 + log(v + (1 - v) exp(-|l|)) / |l| for l > 0, by symmetry for l < 0."""
        small, w, e = _split(h)
        n = noise[..., 0]  # (..., D)
        n = torch.where(h > 0, n, -n)
        log_v, rest = log_ndtr(n), normal_cdf(-n)
        near_e = torch.where(w.abs() < 1e-6, 1e-6, w.abs())
        near = 1.0 + log1p(rest * expm1(-near_e)) / near_e
        far = 1.0 + logaddexp(log_v, log_ndtr(-n) - e) / e
        x = torch.where(small, near, far)
        return torch.where(h > 0, x, 1.0 - x)


def _split(h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mask of |l| < 1; w = l inside the mask, else 0; e = |l| outside the mask, else 1. Each has the shape of h."""
    small = h.abs() < 1.0
    return small, torch.where(small, h, 0.0), torch.where(small, 1.0, h.abs())
