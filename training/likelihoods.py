"""p(x|z), one class each, fully normalised per data dimension, in the units the networks see. Knows no networks.

Every likelihood takes the decoder's raw outputs h (..., width) and has
    log_prob(t, h)      (..., D) nats, t broadcast against h
    mean(h), scale(h)   (..., D); scale is None where there is none
    observe(h, noise)   a draw, (..., D), from standard normals (..., D, 2)
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.functional import HALF_LOG_2PI, bernoulli_log_prob, normal_cdf, softplus, softplus_inverse

LARGEST_RESIDUAL = 1e9  # residuals are cut here, so that every finite row has a finite density


class Gaussian(nn.Module):
    """N(x_d; m_d, s_d^2):  log p = -((x_d - m_d) / s_d)^2 / 2 - log s_d - log(2 pi) / 2.

    The scale is the network's, one for each feature, one for all, or a fixed number; never below `floor` (D,), which
    keeps the density from running away to infinity (Mattei and Frellsen 2018). Columns that are not `active` have
    m = 0, s = 1 (in standardised units).
    """

    parameters_in_raw_units = ("mean", "scale")
    floor: Tensor
    active: Tensor
    fixed: Tensor

    def __init__(self, scale: str | float, floor: Tensor, active: Tensor) -> None:
        super().__init__()
        dim = floor.numel()
        self.kind = scale if isinstance(scale, str) else "fixed"
        self.width = 2 * dim if self.kind == "network" else dim
        self.register_buffer("floor", floor.float())
        self.register_buffer("active", active)
        self.all_active = bool(active.all())
        start = softplus_inverse(1.0)
        if self.kind in ("feature", "shared"):
            self.raw_scale = nn.Parameter(torch.full((dim if self.kind == "feature" else 1,), start))
        elif self.kind == "fixed":
            self.register_buffer("fixed", torch.full((dim,), float(scale)))

    def initialize(self, head: nn.Linear) -> None:
        """Start at the standard normal: where the data stand after standardisation."""
        if self.kind == "network":
            dim = self.floor.numel()
            nn.init.zeros_(head.weight[dim:])
            nn.init.constant_(head.bias[dim:], softplus_inverse(1.0))

    def mean(self, h: Tensor) -> Tensor:
        m = h[..., : self.floor.numel()]
        return m if self.all_active else torch.where(self.active, m, 0.0)

    def scale(self, h: Tensor) -> Tensor:
        """s, broadcast to the mean's shape."""
        if self.kind == "fixed":
            s = self.fixed
        elif self.kind == "network":
            s = self.floor + softplus(h[..., self.floor.numel() :])
        else:
            s = self.floor + softplus(self.raw_scale)
        return s if self.all_active else torch.where(self.active, s, 1.0)

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        s = self.scale(h)
        r = ((t - self.mean(h)) / s).clamp(-LARGEST_RESIDUAL, LARGEST_RESIDUAL)
        return -0.5 * r * r - (s.log() + HALF_LOG_2PI)

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        return self.mean(h) + self.scale(h) * noise[..., 0]


class Bernoulli(nn.Module):
    """x_d in {0, 1} with logits l_d:  log p = -softplus((1 - 2 x_d) l_d)."""

    parameters_in_raw_units = ("mean",)

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.width = dim

    def initialize(self, head: nn.Linear) -> None:
        """The linear layer's own start will do."""

    def mean(self, h: Tensor) -> Tensor:
        return torch.sigmoid(h)

    def scale(self, h: Tensor) -> None:  # noqa: ARG002  a likelihood without a scale answers the same call
        return None

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        return bernoulli_log_prob(t, h)

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        return (normal_cdf(noise[..., 0]) < self.mean(h)).to(h.dtype)


Likelihood = Gaussian | Bernoulli
