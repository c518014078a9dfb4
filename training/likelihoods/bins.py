"""Probabilities of integers, as masses of bins of a grid. Knows the grid in model units, not pixels or counts."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from training.functional import (
    log_logistic_mass,
    log_ndtr,
    log_normal_mass,
    normal_cdf,
    softplus,
    softplus_integral,
    softplus_inverse,
)
from training.likelihoods.base import LARGEST_RESIDUAL, Head, Likelihood, Scale, start_at
from training.likelihoods.location_scale import OUTPUTS, log_normal

LEAST_SCALE = 1e-3  # of a bin: all the mass is in one bin long before, and float32 still tells where a bin ends
FAR = 100.0  # scales beyond which a logistic has no mass that float64 sees


class Grid(nn.Module):
    """Integers of each column in model units: lowest + gap (0, 1, 2, ...), up to highest, which may be infinite."""

    gap: Tensor  # (D,) > 0
    lowest: Tensor  # (D,)
    highest: Tensor  # (D,)

    def __init__(self, gap: Tensor, lowest: Tensor, highest: Tensor) -> None:
        super().__init__()
        self.dim = gap.numel()
        self.register_buffer("gap", gap.float())
        self.register_buffer("lowest", lowest.float())
        self.register_buffer("highest", highest.float())

    def ends(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Which of t are in the lowest bin, and which in the highest; those bins are open."""
        return t < self.lowest + 0.5 * self.gap, t > self.highest - 0.5 * self.gap

    def snap(self, t: Tensor) -> Tensor:
        """The grid's nearest value."""
        t = torch.minimum(torch.maximum(t, self.lowest), self.highest)
        return self.lowest + self.gap * torch.round((t - self.lowest) / self.gap)


class BinnedGaussian(Likelihood):
    """P(x_d) = Phi((x_d + gap/2 - m_d) / s_d) - Phi((x_d - gap/2 - m_d) / s_d), the end bins open.

    mean and scale are m and s, of the normal before it is cut into bins. A mass is at most 1, so the scale needs no
    floor from the data. Columns that are not `active` have the density N(0, 1).
    """

    mass = True
    active: Tensor  # (D,) bool

    def __init__(
        self,
        scale: str | float,
        grid: Grid,
        active: Tensor,
        *,
        output: str = "linear",
        members: int | None = None,
    ) -> None:
        super().__init__()
        self.dim, self.grid = grid.dim, grid
        self.spread = Scale(scale, LEAST_SCALE * grid.gap, members)
        self.width = 2 * self.dim if self.spread.from_network else self.dim
        self.output = OUTPUTS[output]
        self.register_buffer("active", active)
        self.all_active = bool(active.all())

    def initialize(self, head: Head) -> None:
        """Start at s = 1."""
        if self.spread.from_network:
            start_at(head, slice(self.dim, 2 * self.dim), softplus_inverse(1.0))

    def mean(self, h: Tensor) -> Tensor:
        m = self.output(h[..., : self.dim])
        return m if self.all_active else torch.where(self.active, m, 0.0)

    def _scale(self, h: Tensor) -> Tensor:
        """s, to be broadcast to the mean's shape."""
        s = self.spread(h[..., self.dim :])
        return s if self.all_active else torch.where(self.active, s, 1.0)

    def deviation(self, h: Tensor) -> Tensor:
        return self._scale(h).expand(*h.shape[:-1], self.dim)

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        s = self._scale(h)
        c = ((t - self.mean(h)) / s).clamp(-LARGEST_RESIDUAL, LARGEST_RESIDUAL)
        log_p = log_normal_mass(c, self.grid.gap / s, *self.grid.ends(t))
        return log_p if self.all_active else torch.where(self.active, log_p, log_normal(c))

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        x = self.grid.snap(self.mean(h) + self._scale(h) * noise[..., 0])
        return x if self.all_active else torch.where(self.active, x, noise[..., 0])


class DiscretizedLogistic(Likelihood):
    """P(x_d) = sum_c w_c [ F((x_d + gap/2 - m_c) / s_c) - F((x_d - gap/2 - m_c) / s_c) ], F the logistic's, ends open.

    Weights, means and scales are the network's for each value: (C, D) logits of w, then m, then raw s, without the
    dependence between channels of Salimans et al. (2017), whose mixture it is. mean and scale are those of the value
    cut at the ends of the grid, before it is rounded. Columns that are not `active` have the density N(0, 1).
    """

    mass = True
    active: Tensor  # (D,) bool

    def __init__(self, grid: Grid, active: Tensor, *, components: int = 5) -> None:
        super().__init__()
        self.dim, self.grid, self.components = grid.dim, grid, components
        self.width = 3 * components * self.dim
        self.register_buffer("active", active)
        self.all_active = bool(active.all())

    def initialize(self, head: Head) -> None:
        """Spread the components over the grid, or over (-2, 2), where standardised counts stand, if it has no top."""
        low = torch.where(self.grid.highest.isfinite(), self.grid.lowest, -2.0)
        high = torch.where(self.grid.highest.isfinite(), self.grid.highest, 2.0)
        each = (high - low) / self.components  # (D,)
        place = torch.arange(self.components)[:, None] + 0.5
        size = self.components * self.dim
        start_at(head, slice(size), 0.0)
        start_at(head, slice(size, 2 * size), (low + each * place).flatten())
        raw = torch.tensor([softplus_inverse(max(float(s), 1e-6)) for s in 0.5 * each])
        start_at(head, slice(2 * size, 3 * size), raw.repeat(self.components))

    def _components(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log w, m and s of the components, (..., C, D) each."""
        logits, m, raw = h.unflatten(-1, (3, self.components, self.dim)).unbind(-3)
        return torch.log_softmax(logits, dim=-2), m, LEAST_SCALE * self.grid.gap + softplus(raw)

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        log_w, m, s = self._components(h)
        c = ((t.unsqueeze(-2) - m) / s).clamp(-LARGEST_RESIDUAL, LARGEST_RESIDUAL)  # (..., C, D)
        below, above = self.grid.ends(t.unsqueeze(-2))
        log_p = torch.logsumexp(log_w + log_logistic_mass(c, self.grid.gap / s, below, above), dim=-2)
        return log_p if self.all_active else torch.where(self.active, log_p, log_normal(t))

    def _moments(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of the mixture cut at the ends of the grid."""
        log_w, m, s = self._components(h)
        w = log_w.exp()
        shift, square = _cut_moments((m - self.grid.lowest) / s, (self.grid.highest - m) / s)
        mean = m + s * shift  # (..., C, D)
        total = (w * mean).sum(-2)
        within = (s * s * (square - shift * shift)).clamp(min=0.0)
        variance = (w * (within + (mean - total.unsqueeze(-2)) ** 2)).sum(-2)
        return total, variance

    def mean(self, h: Tensor) -> Tensor:
        mean = self._moments(h)[0]
        return mean if self.all_active else torch.where(self.active, mean, 0.0)

    def deviation(self, h: Tensor) -> Tensor:
        sd = torch.sqrt(self._moments(h)[1])
        return sd if self.all_active else torch.where(self.active, sd, 1.0)

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """A component by the first normal's Phi, then m + s logit(Phi(n)) of the second, to the grid's nearest."""
        log_w, m, s = self._components(h)
        reached = torch.cumsum(log_w.exp(), dim=-2)[..., :-1, :]  # (..., C - 1, D)
        index = (normal_cdf(noise[..., 0]).unsqueeze(-2) > reached).long().sum(-2, keepdim=True)
        n = noise[..., 1]
        logit = log_ndtr(n) - log_ndtr(-n)
        index = index.expand(*m.shape[:-2], 1, self.dim)
        x = self.grid.snap(torch.gather(m, -2, index).squeeze(-2) + torch.gather(s, -2, index).squeeze(-2) * logit)
        return x if self.all_active else torch.where(self.active, x, noise[..., 0])


def _cut_moments(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """E[y] and E[y^2] of a standard logistic cut to [-a, b].

    E[y] = softplus(-a) - softplus(-b),  E[y^2] = 2 H(a) + 2 H(b),  H(b) = int_0^b u F(-u) du
    """
    a, b = a.clamp(max=FAR), b.clamp(max=FAR)
    return softplus(-a) - softplus(-b), 2.0 * (_half_square(a) + _half_square(b))


def _half_square(b: Tensor) -> Tensor:
    """H(b) = -b softplus(-b) + G(0) - G(-b), with G(y) the integral of softplus up to y and G(0) = pi^2 / 12."""
    return -b * softplus(-b) + math.pi**2 / 12.0 - softplus_integral(-b)
