"""Likelihoods of integers, as the probability masses of the bins of a grid.

t (..., D) and h (..., width) as in `base`; C mixture components.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaekit_training.functional import (
    GAUSS_LEGENDRE,
    log_logistic_mass,
    log_ndtr,
    log_normal_mass,
    normal_cdf,
    softplus,
    softplus_integral,
    softplus_inverse,
)
from vaekit_training.likelihoods.base import LARGEST_RESIDUAL, DecoderHead, Likelihood, ScaleKind
from vaekit_training.likelihoods.location_scale import LocationScale, log_normal

LEAST_SCALE = 1e-3  # smallest scale, in bin widths: one bin has all the mass, and float32 resolves the bin's ends
FAR = 100.0  # number of scales beyond which float64 rounds a logistic's mass to 0


class Grid(nn.Module):
    """The integers of each column in model units: lowest + gap i, i = 0, 1, 2, ..., up to highest (may be infinite)."""

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
        """Masks (..., D) of the values in the lowest and in the highest bin, which are open-ended."""
        return t < self.lowest + 0.5 * self.gap, t > self.highest - 0.5 * self.gap

    def snap(self, t: Tensor) -> Tensor:
        """The grid value nearest to t, (..., D)."""
        t = torch.minimum(torch.maximum(t, self.lowest), self.highest)
        return self.lowest + self.gap * torch.round((t - self.lowest) / self.gap)


class BinnedGaussian(LocationScale):
    """P(x_d) = Phi((x_d + gap/2 - m_d) / s_d) - Phi((x_d - gap/2 - m_d) / s_d), with open-ended outer bins.

    `mean` and `scale` are m and s of the normal before binning. The scale needs no floor from the data, because a mass
    is at most 1. Constant columns (not `active`) have the density N(0, 1).
    """

    mass = True

    def __init__(
        self,
        scale: ScaleKind,
        grid: Grid,
        active: Tensor,
        *,
        output: str = "linear",
        members: int | None = None,
    ) -> None:
        super().__init__(scale, LEAST_SCALE * grid.gap, active, output=output, members=members)
        self.grid = grid

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """log P of the bin around t, (..., D): log_normal_mass at c = (t - m) / s with width gap / s."""
        s = self._scale(h)  # broadcastable to (..., D)
        c = ((t - self.mean(h)) / s).clamp(-LARGEST_RESIDUAL, LARGEST_RESIDUAL)  # (..., D)
        log_p = log_normal_mass(c, self.grid.gap / s, *self.grid.ends(t))  # (..., D)
        return log_p if self.all_active else torch.where(self.active, log_p, log_normal(c))

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """m + s n rounded to the grid, (..., D)."""
        x = self.grid.snap(self.mean(h) + self._scale(h) * noise[..., 0])  # (..., D)
        return x if self.all_active else torch.where(self.active, x, noise[..., 0])


class DiscretizedLogistic(Likelihood):
    """P(x_d) = sum_c w_c [ F((x_d + gap/2 - m_c) / s_c) - F((x_d - gap/2 - m_c) / s_c) ], with open-ended outer bins.

    F is the logistic distribution function. h (..., 3 C D) holds the logits of w, then m, then raw s, (C, D) each.
    `mean` and `scale` are those of the mixture clamped to the range of the grid, before rounding. Constant columns (not
    `active`) have the density N(0, 1).

    Source: Salimans et al. (2017), "PixelCNN++", without the dependence between channels.
    """

    mass = True
    active: Tensor  # (D,) bool

    def __init__(self, grid: Grid, active: Tensor, *, components: int = 5) -> None:
        super().__init__()
        self.dim, self.grid, self.components = grid.dim, grid, components
        self.width = 3 * components * self.dim
        self.register_buffer("active", active)
        self.all_active = bool(active.all())

    def initialize(self, head: DecoderHead) -> None:
        """Spread the means of the components over the grid, or over standardised counts if it has no upper end."""
        ended = self.grid.highest.isfinite()
        low = torch.where(ended, self.grid.lowest, self.grid.lowest.clamp(min=-2.0))
        high = torch.where(ended, self.grid.highest, low + 4.0)
        each = (high - low) / self.components  # (D,)
        place = torch.arange(self.components)[:, None] + 0.5  # (C, 1)
        size = self.components * self.dim
        head.zero_rows(slice(size), 0.0)
        head.set_bias(slice(size, 2 * size), (low + each * place).flatten())
        raw = torch.tensor([softplus_inverse(max(float(s), 1e-6)) for s in 0.3 * each])
        head.zero_rows(slice(2 * size, 3 * size), raw.repeat(self.components))

    def _components(self, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """log w, m and s of the components, (..., C, D) each."""
        logits, m, raw = h.unflatten(-1, (3, self.components, self.dim)).unbind(-3)
        return torch.log_softmax(logits, dim=-2), m, LEAST_SCALE * self.grid.gap + softplus(raw)

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """log sum_c w_c P_c of the bin around t, (..., D)."""
        log_w, m, s = self._components(h)  # (..., C, D) each
        c = ((t.unsqueeze(-2) - m) / s).clamp(-LARGEST_RESIDUAL, LARGEST_RESIDUAL)  # (..., C, D)
        below, above = self.grid.ends(t.unsqueeze(-2))  # (..., 1, D) each
        log_p_c = log_logistic_mass(c, self.grid.gap / s, below, above)  # (..., C, D)
        log_p = torch.logsumexp(log_w + log_p_c, dim=-2)  # (..., D)
        return log_p if self.all_active else torch.where(self.active, log_p, log_normal(t))

    def _moments(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance, (..., D) each, of the mixture clamped to the range of the grid.

        mean = sum_c w_c mean_c,  variance = sum_c w_c [ variance_c + (mean_c - mean)^2 ]
        """
        log_w, m, s = self._components(h)  # (..., C, D) each
        w = log_w.exp()  # (..., C, D)
        mean, within = _clamped_moments(m, s, self.grid.lowest, self.grid.highest)  # (..., C, D) each
        total = (w * mean).sum(-2)  # (..., D)
        variance = (w * (within + (mean - total.unsqueeze(-2)) ** 2)).sum(-2)  # (..., D)
        return total, variance

    def mean(self, h: Tensor) -> Tensor:
        """sum_c w_c mean_c of the clamped components, (..., D)."""
        mean = self._moments(h)[0]
        return mean if self.all_active else torch.where(self.active, mean, 0.0)

    def deviation(self, h: Tensor) -> Tensor:
        """Standard deviation of the clamped mixture, (..., D)."""
        sd = torch.sqrt(self._moments(h)[1])
        return sd if self.all_active else torch.where(self.active, sd, 1.0)

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """m_c + s_c logit(Phi(n)) rounded to the grid, (..., D).

        The first of each two normals selects the component c, the second is n.
        """
        log_w, m, s = self._components(h)  # (..., C, D) each
        reached = torch.cumsum(log_w.exp(), dim=-2)[..., :-1, :]  # (..., C - 1, D)
        index = (normal_cdf(noise[..., 0]).unsqueeze(-2) > reached).long().sum(-2, keepdim=True)  # (..., 1, D)
        n = noise[..., 1]  # (..., D)
        logit = log_ndtr(n) - log_ndtr(-n)  # of Phi(n), (..., D)
        index, _ = torch.broadcast_tensors(index, m[..., :1, :])
        m, s = (torch.gather(each.expand(*index.shape[:-2], -1, -1), -2, index).squeeze(-2) for each in (m, s))
        x = self.grid.snap(m + s * logit)  # (..., D)
        return x if self.all_active else torch.where(self.active, x, noise[..., 0])


def _clamped_moments(m: Tensor, s: Tensor, lowest: Tensor, highest: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of a logistic variable clamped to [lowest, highest], each with the shape of m and s.

    They are computed about r, the point of the range nearest to m, so that no large numbers cancel. With
    y = (x - r) / s, d = (m - r) / s, a = (r - lowest) / s and b = (highest - r) / s, and I and J as in `_integrals`:

        E[y] = I(b, d) - I(a, -d),  E[y^2] = 2 J(b, d) + 2 J(a, -d)
    """
    r = torch.minimum(torch.maximum(m, lowest), highest)  # (..., C, D), as all of the following
    d, a, b = (m - r) / s, (r - lowest) / s, (highest - r) / s
    (first_b, second_b), (first_a, second_a) = _integrals(b, d), _integrals(a, -d)
    shift = first_b - first_a
    return r + s * shift, (s * s * (2.0 * (second_b + second_a) - shift * shift)).clamp(min=0.0)


def _integrals(b: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
    """The integrals I and J, each with the shape of d; where d > 0, b is 0.

        I = int_0^b F(d - v) dv   = softplus(d) - softplus(d - b)
        J = int_0^b v F(d - v) dv = G(d) - G(d - b) - b softplus(d - b),   G the integral of softplus

    For b < 1 these differences cancel, and both are computed by quadrature.
    """
    short = b < 1.0
    near, far = torch.where(short, b, 0.0), torch.where(short, 1.0, b.clamp(max=FAR))
    first, second = torch.zeros_like(d), torch.zeros_like(d)
    for u, weight in GAUSS_LEGENDRE:
        for v in (0.5 - u, 0.5 + u):
            above = 0.5 * weight * torch.sigmoid(d - near * v)
            first, second = first + near * above, second + near * near * v * above
    rest = softplus(d - far)
    long = softplus_integral(d) - softplus_integral(d - far) - far * rest
    return torch.where(short, first, softplus(d) - rest), torch.where(short, second, long)
