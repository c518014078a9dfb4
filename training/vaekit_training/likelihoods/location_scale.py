"""Densities of real columns, of the form f((x - m) / s) / s.

t (..., D) and h (..., width) as in `base`; width is D, or 2 D if the scale is a decoder output.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from vaekit_training.functional import HALF_LOG_2PI, expm1, log1p, log_ndtr, normal_cdf, softplus_inverse
from vaekit_training.likelihoods.base import (
    LARGEST_RESIDUAL,
    DecoderHead,
    Likelihood,
    Scale,
    ScaleKind,
    parameter_shape,
)

OUTPUTS = {"linear": torch.nn.Identity(), "tanh": torch.nn.Tanh(), "sigmoid": torch.nn.Sigmoid()}
LEAST_DF = 2.1  # smallest degrees of freedom: the standard deviation exists, and is at most sqrt(21) scales
LARGEST_DF = 1e6  # practically a normal distribution
DF_START = 10.0  # before training


def log_normal(r: Tensor) -> Tensor:
    """log N(r; 0, 1) = -r^2 / 2 - log(2 pi) / 2, the shape of r."""
    return -0.5 * r * r - HALF_LOG_2PI


class LocationScale(Likelihood):
    """log p(x_d) = log f((x_d - m_d) / s_d) - log s_d, where m is a decoder output.

    The scale s is a decoder output, one parameter per column, one for all columns, or a fixed number. A learned scale
    is never below `floor`; without a floor the density could grow to infinity. Constant columns (not `active`) are
    N(0, 1) in model units in every family.

    Source: Mattei and Frellsen (2018), "Leveraging the exact likelihood of deep latent variable models", on the floor.
    """

    active: Tensor  # (D,) bool, false for constant columns

    def __init__(
        self,
        scale: ScaleKind,
        floor: Tensor,
        active: Tensor,
        *,
        output: str = "linear",
        members: int | None = None,
    ) -> None:
        super().__init__()
        self.dim = floor.shape[-1]
        self.spread = Scale(scale, floor, members)
        self.width = 2 * self.dim if self.spread.from_network else self.dim
        self.output = OUTPUTS[output]
        self.register_buffer("active", active)
        self.all_active = bool(active.all())

    @property
    def floor(self) -> Tensor:
        """Lower limit of the scale of each column, (D,), or (M, 1, 1, D) if members have different ones."""
        return self.spread.floor

    def initialize(self, head: DecoderHead) -> None:
        """Set s to 1, the scale of standardised data, if it is a decoder output."""
        if self.spread.from_network:
            head.zero_rows(slice(self.dim, 2 * self.dim), softplus_inverse(1.0))

    def mean(self, h: Tensor) -> Tensor:
        """m, (..., D)."""
        m = self.output(h[..., : self.dim])  # (..., D)
        return m if self.all_active else torch.where(self.active, m, 0.0)

    def _scale(self, h: Tensor) -> Tensor:
        """s, broadcastable to (..., D)."""
        s = self.spread(h[..., self.dim :])
        return s if self.all_active else torch.where(self.active, s, 1.0)

    def scale(self, h: Tensor) -> Tensor:
        """s, (..., D)."""
        return self._scale(h).expand(*h.shape[:-1], self.dim)

    def deviation(self, h: Tensor) -> Tensor:
        """s times the standard deviation of f, (..., D)."""
        sd = self._scale(h) * self._per_scale()
        return (sd if self.all_active else torch.where(self.active, sd, 1.0)).expand(*h.shape[:-1], self.dim)

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """log f(r) - log s with r = (t - m) / s, (..., D)."""
        s = self._scale(h)  # broadcastable to (..., D)
        r = ((t - self.mean(h)) / s).clamp(-LARGEST_RESIDUAL, LARGEST_RESIDUAL)  # (..., D)
        log_f = self._log_standard(r)  # (..., D)
        if not self.all_active:
            log_f = torch.where(self.active, log_f, log_normal(r))
        return log_f - s.log()

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """m + s r with r drawn from f, (..., D)."""
        r = self._draw(noise)  # (..., D)
        if not self.all_active:
            r = torch.where(self.active, r, noise[..., 0])
        return self.mean(h) + self._scale(h) * r

    def _log_standard(self, r: Tensor) -> Tensor:
        """log f(r), (..., D)."""
        raise NotImplementedError

    def _draw(self, noise: Tensor) -> Tensor:
        """A draw of f, (..., D), from standard normals (..., D, 2)."""
        raise NotImplementedError

    def _per_scale(self) -> Tensor | float:
        """Standard deviation of f, a number or broadcastable to (..., D)."""
        return 1.0


class Gaussian(LocationScale):
    """N(m, s^2):  log f(r) = -r^2 / 2 - log(2 pi) / 2."""

    def _log_standard(self, r: Tensor) -> Tensor:
        return log_normal(r)

    def _draw(self, noise: Tensor) -> Tensor:
        return noise[..., 0]


class Laplace(LocationScale):
    """log f(r) = -|r| - log 2; the standard deviation is sqrt(2) scales."""

    def _log_standard(self, r: Tensor) -> Tensor:
        return -r.abs() - math.log(2.0)

    def _draw(self, noise: Tensor) -> Tensor:
        """F^-1(Phi(n)) = -sign(n) log(2 Phi(-|n|))."""
        n = noise[..., 0]
        return -torch.sign(n) * (math.log(2.0) + log_ndtr(-n.abs()))

    def _per_scale(self) -> float:
        return math.sqrt(2.0)


class StudentT(LocationScale):
    """log f(r) = log B(df) - (df + 1) / 2 log(1 + r^2 / df), with degrees of freedom df learned for each column.

        log B(df) = log Gamma((df + 1) / 2) - log Gamma(df / 2) - log(pi df) / 2
        df = LEAST_DF + exp(raw_df)

    log B is computed in float64, because its terms cancel for large df. The exp lets an optimiser step change df in
    proportion to its size.
    """

    parameters_in_raw_units = ("mean", "scale", "df")

    def __init__(
        self,
        scale: ScaleKind,
        floor: Tensor,
        active: Tensor,
        *,
        output: str = "linear",
        members: int | None = None,
    ) -> None:
        super().__init__(scale, floor, active, output=output, members=members)
        start = math.log(DF_START - LEAST_DF)
        self.raw_df = nn.Parameter(torch.full(parameter_shape(self.dim, members), start))

    def df(self) -> Tensor:
        """Degrees of freedom, (D,) or (M, 1, 1, D)."""
        return LEAST_DF + torch.exp(self.raw_df.clamp(max=math.log(LARGEST_DF)))

    def extras(self, h: Tensor) -> dict[str, Tensor]:
        """`df`, (..., D)."""
        df = self.df() if self.all_active else torch.where(self.active, self.df(), LARGEST_DF)
        return {"df": df.expand(*h.shape[:-1], self.dim)}

    def _log_b(self) -> Tensor:
        """log B(df), (D,) or (M, 1, 1, D)."""
        df = self.df().double()
        log_b = torch.lgamma(0.5 * (df + 1.0)) - torch.lgamma(0.5 * df) - 0.5 * torch.log(math.pi * df)
        return log_b.to(self.raw_df.dtype)

    def _log_standard(self, r: Tensor) -> Tensor:
        df = self.df()
        return self._log_b() - 0.5 * (df + 1.0) * log1p(r * r / df)

    def _draw(self, noise: Tensor) -> Tensor:
        """sqrt(df (u^(-2 / df) - 1)) cos(2 pi v) of uniforms u = Phi(n_0) and v = Phi(n_1), exact for any df.

        Source: Bailey (1994), "Polar generation of random variates with the t-distribution".
        """
        df = self.df()  # (D,) or (M, 1, 1, D)
        log_u, v = log_ndtr(noise[..., 0]), normal_cdf(noise[..., 1])  # (..., D) each
        return torch.sqrt(df * expm1(-2.0 / df * log_u)) * torch.cos(2.0 * math.pi * v)

    def _per_scale(self) -> Tensor:
        df = self.df()
        return torch.sqrt(df / (df - 2.0))
