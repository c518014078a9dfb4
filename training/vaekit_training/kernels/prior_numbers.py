"""The columns of numbers in a kernel prior.

N rows, R columns of numbers, K clusters, M exemplars in B blocks of S places; nats. With A_k A_k^T = (h^2 S_k + F)^-1:

    t_nu(z; c_i, h^2 S_k + F),   delta_i^2(z) = |A_k^T (z - c_i)|^2,   k the cluster of exemplar i

All exemplars of a block are of one cluster, so one batched matrix product computes the distances. They are computed in
float64, because they are differences of large squares.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from scipy.special import gammaincinv
from torch import Tensor, nn

from vaekit_training.kernels.mixture import whitened, whitening
from vaekit_training.kernels.search import Kernels, log_constant

LARGEST = 1e37  # squared distances are clamped to it, so that float32 can hold them
QUANTILES = 1025  # of the chi-squared distribution, for samples
FEWEST_DEGREES = 0.5  # smallest nu + R - 3 in the variance of a cell, which is infinite at 0


class NumberCells(NamedTuple):
    """p(z_d | the other cells) of each number, (N, R) each."""

    log_density: Tensor
    mean: Tensor
    deviation: Tensor  # standard deviation


class _Part(NamedTuple):
    """The columns that a density has: all, or those of the observed cells of each row."""

    observed: Tensor | None  # (N, R), 1 where a cell is observed, else 0; None: all are
    dim: Tensor  # (N,) or (1,), number of columns
    log_scale: Tensor  # (B, N, 1) or (B, 1, 1), log det A of the columns


class NumberKernels(nn.Module):
    """The Student-t kernels of the columns of numbers, (B, N, S) for N rows."""

    mean: Tensor  # (K, R), m_k
    inverse: Tensor  # (K, R, R), A_k^T, or its diagonal, (K, R)
    factor: Tensor  # (K, R, R), its inverse, or its diagonal
    log_scale: Tensor  # (K,), log det A_k
    cluster: Tensor  # (B,), k of each block
    exemplars: Tensor  # (B, S, R), A_k^T (c_i - m_k)
    constants: Tensor  # (R + 1,), log density at the centre of a kernel of unit scale, by its number of columns
    stretch: Tensor  # (QUANTILES,), sqrt(nu / chi^2) at even quantiles; (1,) for normal kernels
    _one: Tensor

    def __init__(self, kernels: Kernels, blocks: Tensor, cluster: Tensor) -> None:
        """blocks: (B, S), index of each exemplar, -1 for empty places. cluster: (B,)."""
        super().__init__()
        self.nu, self.dim = kernels.nu, kernels.mean.shape[1]
        mean, x = kernels.mean.double(), kernels.exemplars.real.double()
        of_cluster = mean[kernels.cluster]
        centres = of_cluster + math.sqrt(1.0 - kernels.h**2) * (x - of_cluster)
        inverse, log_scale = whitening(kernels.covariance.double())
        exemplars = torch.zeros(*blocks.shape, self.dim, dtype=torch.float64)
        for b, k in enumerate(cluster.tolist()):
            there = blocks[b] >= 0
            exemplars[b, there] = whitened(centres[blocks[b][there]] - mean[k], inverse[k])
        self.register_buffer("mean", mean)
        self.register_buffer("inverse", inverse)
        self.register_buffer("factor", inverse.reciprocal() if inverse.ndim == 2 else torch.linalg.inv(inverse))
        self.register_buffer("log_scale", log_scale)
        self.register_buffer("cluster", cluster)
        self.register_buffer("exemplars", exemplars)
        constants = [log_constant(dim, self.nu) for dim in range(self.dim + 1)]
        self.register_buffer("constants", torch.tensor(constants, dtype=torch.float64))
        self.register_buffer("stretch", _stretches(self.nu))
        self.register_buffer("_one", torch.ones(()), persistent=False)  # has the model's dtype

    @property
    def is_diagonal(self) -> bool:
        """Whether the covariances are diagonal. Missing cells then have an exact q: the kernels' own."""
        return self.inverse.ndim == 2

    def log_kernels(self, z: Tensor, sigma: Tensor | None, there: Tensor | None, log_weight: Tensor) -> Tensor:
        """log t_nu(sqrt(E[delta_i^2])) of each exemplar, (B, N, S), plus the log weights of the places, (B, S).

        One matrix product gives 1 + E[delta_i^2] / nu, or E[delta_i^2] / 2 for normal kernels.

        Args:
            z: (N, R) float64.
            sigma: standard deviations (N, R) float64; None: z is a point.
            there: which cells are observed, (N, R) bool; None: all.
            log_weight: of each place.
        """
        normal = math.isinf(self.nu)
        unit, start = (0.5, 0.0) if normal else (1.0 / self.nu, 1.0)
        c = self.exemplars  # (B, S, R)
        part, one = self._part(there), torch.ones_like(c[..., :1])
        squares = c.square() if part.observed is not None else c.square().sum(-1, keepdim=True)
        weights = torch.cat([-2.0 * unit * c, unit * one, start * one, unit * squares], -1).transpose(1, 2)
        own, at_rows = self._of_rows(self._whitened(z), sigma, part)  # (B, N, Z), (B, N, 1)
        ones = torch.ones_like(at_rows)
        at_exemplars = ones if part.observed is None else part.observed.expand(len(c), -1, -1)
        u = torch.cat([own, at_rows, ones, at_exemplars], -1) @ weights  # (B, N, S)
        u = u.clamp(start, LARGEST).to(self._one.dtype)
        more = part.log_scale + log_weight[:, None] + self._constant(part.dim)  # (B, N, S) or (B, 1, S)
        top = 0.5 * (self.nu + part.dim)[:, None]  # (N, 1) or (1, 1)
        return more.to(u.dtype) - (u if normal else top.to(u.dtype) * torch.log(u))

    def cells(self, mu: Tensor, sigma: Tensor, there: Tensor | None, more: Tensor) -> tuple[Tensor, NumberCells]:
        """The log of each kernel, (B, N, S), up to a constant of each row; and p(z_d | the other cells) at z = mu.

        Without column d, the kernel of exemplar i has the squared distance delta_i^2 - g_id^2 / P_dd, g = P (z - c_i),
        and given the other cells it is a Student-t density of z_d with nu + R - 1 degrees of freedom, centre
        z_d - g_id / P_dd and squared scale (nu + delta_i,-d^2) / (nu + R - 1) / P_dd.

        Args:
            mu, sigma: (N, R) each.
            there: (N, R) bool; None: all.
            more: what is added to the log of the kernels, (B, N, S) or (B, 1, S).
        """
        z, s = mu.double(), sigma.double()
        normal, k = math.isinf(self.nu), self.cluster  # (B,)
        y = self._whitened(z)  # (K, N, Z)
        root = self._precision().sqrt()  # (K, R), the square root of P_dd
        back = self.inverse[:, None] if self.is_diagonal else None
        of_rows = (y * back if back is not None else y @ self.inverse) / root[:, None]  # P (z - m_k) / root
        of_exemplars = self.exemplars * back[k] if back is not None else self.exemplars @ self.inverse[k]
        part = self._part(there)
        more = part.log_scale + more  # (B, N, S) or (B, 1, S)
        more = (more - more.amax(dim=(0, 2), keepdim=True)).to(self._one.dtype)
        u = self._squares(y, s, part) * (0.5 if normal else 1.0 / self.nu) + (0.0 if normal else 1.0)  # (B, N, S)
        least = u.amin(dim=(0, 2))[:, None]  # (N, 1): relative to it, float32 is exact enough
        unit = torch.full_like(least, 0.5) if normal else 1.0 / (self.nu * least)
        start = -least if normal else 1.0 / least  # of u, relative
        u = u - least if normal else u / least
        g = of_rows.index_select(0, k)[:, :, None] - (of_exemplars / root[k][:, None])[:, None]  # (B, N, S, R)
        others = (u[..., None] - unit[:, None] * g * g).maximum(start[:, None])  # (B, N, S, R): without column d
        lowest = others.amin(dim=(0, 2)) if normal else torch.zeros_like(least)  # (N, R) or (N, 1)
        others = others - lowest[:, None] if normal else others  # small again, if one cell is most of the distance
        scale = root[k][:, None, None]  # (B, 1, 1, R)
        centre = (z[:, None] - g / scale).to(more.dtype)  # (B, N, S, R), of z_d given the other cells
        u, others = u.to(more.dtype), others.to(more.dtype)
        top = 0.5 * (self.nu + part.dim).to(more.dtype)[:, None]  # (N, 1) or (1, 1)
        log_t = more - (u if normal else top * torch.log(u))  # (B, N, S)
        by_place = more[..., None] - root[k].log().to(more.dtype)[:, None, None]  # (B, N, S, R) or (B, 1, S, R)
        log_w = by_place - (others if normal else (top - 0.5)[..., None] * torch.log(others))
        peak = log_w.amax(dim=(0, 2), keepdim=True)  # (1, N, 1, R)
        w = torch.exp(log_w - peak)
        total = w.sum(2).sum(0)  # (N, R); ONNX Runtime loses digits of float32 in one sum over all exemplars
        log_density = log_t.transpose(0, 1).flatten(1).logsumexp(-1)[:, None] - (peak[0, :, 0] + total.log())
        log_density = log_density.double() + lowest + self._constant(part.dim) - self._constant(part.dim - 1.0)
        log_density = log_density if normal else log_density - 0.5 * least.log()
        w = w / total[:, None]
        variance = torch.ones_like(others)  # for precision 1
        if not normal:
            wider = self.nu / (part.dim + (self.nu - 3.0)).clamp_min(FEWEST_DEGREES)[:, None]
            variance = others * (wider * least)[:, None].to(u.dtype)
        mean = (w * centre).sum(2).sum(0)  # (N, R)
        off = centre - mean[:, None]
        spread = (w * (variance / (scale * scale).to(u.dtype) + off * off)).sum(2).sum(0)
        return log_t, NumberCells(log_density, mean.double(), spread.double().clamp_min(1e-12).sqrt())

    def sample(self, at: Tensor, quantile: Tensor, noise: Tensor) -> Tensor:
        """m_k + (A_k^T)^-1 (A_k^T (c_i - m_k) + r noise), (N, R), r = sqrt(nu / chi^2_nu); 1 for normal kernels.

        Args:
            at: places of the exemplars among the B S, (N,).
            quantile: of chi^2, (N,).
            noise: standard normals (N, R).
        """
        r = self._stretch(quantile)[:, None]  # (N, 1)
        k = self.cluster.index_select(0, at.div(self.exemplars.shape[1], rounding_mode="floor"))
        y = self.exemplars.flatten(0, 1).index_select(0, at) + r * noise.double()  # (N, Z)
        factor = self.factor.index_select(0, k)
        z = factor * y if factor.ndim == 2 else (factor @ y[..., None]).squeeze(-1)
        return (self.mean.index_select(0, k) + z).to(noise.dtype)

    def _whitened(self, z: Tensor) -> Tensor:
        """A_k^T (z - m_k), (K, N, R), for z (N, R)."""
        centred = z - self.mean[:, None]  # (K, N, R)
        return centred * self.inverse[:, None] if self.is_diagonal else centred @ self.inverse.transpose(1, 2)

    def _part(self, there: Tensor | None) -> _Part:
        """The columns of the cells that are there, (N, R) bool; None: all."""
        if there is None:
            dim = torch.full((1,), float(self.dim), dtype=torch.float64)
            return _Part(None, dim, self.log_scale.index_select(0, self.cluster)[:, None, None])
        assert self.is_diagonal
        observed = there.double()
        log_scale = self.inverse.log() @ observed.transpose(0, 1)  # (K, N)
        return _Part(observed, observed.sum(-1), log_scale.index_select(0, self.cluster)[..., None])

    def _constant(self, dim: Tensor) -> Tensor:
        """The constant of a kernel's log density, (N, 1) or (1, 1), for its number of columns, (N,) or (1,)."""
        return self.constants.index_select(0, dim.long().clamp(0, self.dim))[:, None]

    def _squares(self, y: Tensor, sigma: Tensor | None, part: _Part) -> Tensor:
        """E[delta_i^2], (B, N, S), for y (K, N, R) and the standard deviations of z, (N, R)."""
        own, at_rows = self._of_rows(y, sigma, part)
        squares = self.exemplars.square()  # (B, S, R)
        seen = part.observed
        at_exemplars = squares.sum(-1)[:, None] if seen is None else seen @ squares.transpose(1, 2)  # (B, N or 1, S)
        cross = own @ (-2.0 * self.exemplars.transpose(1, 2))  # (B, N, S)
        return (at_rows + at_exemplars + cross).clamp(0.0, LARGEST)

    def _of_rows(self, y: Tensor, sigma: Tensor | None, part: _Part) -> tuple[Tensor, Tensor]:
        """y of each block's cluster, (B, N, R), and |y|^2 + sum_j P_jj s_j^2, (B, N, 1); arguments as in _squares."""
        y = y if part.observed is None else y * part.observed
        at_rows = y.square().sum(-1)  # (K, N)
        if sigma is not None:
            variance = sigma.square() if part.observed is None else sigma.square() * part.observed
            at_rows = at_rows + self._precision() @ variance.transpose(0, 1)
        return y.index_select(0, self.cluster), at_rows.index_select(0, self.cluster)[..., None]

    def _precision(self) -> Tensor:
        """P_jj, (K, R)."""
        return self.inverse.square() if self.is_diagonal else self.inverse.square().sum(1)

    def _stretch(self, quantile: Tensor) -> Tensor:
        """sqrt(nu / chi^2_nu) at quantiles in [0, 1), (N,), linear between those that are stored."""
        if self.stretch.numel() == 1:
            return self.stretch.expand(quantile.shape)
        at = quantile * (QUANTILES - 1)
        low = at.floor().long().clamp(0, QUANTILES - 2)
        first, second = self.stretch.index_select(0, low), self.stretch.index_select(0, low + 1)
        return first + (at - low) * (second - first)


def _stretches(nu: float) -> Tensor:
    """sqrt(nu / chi^2_nu) at QUANTILES even quantiles, the ends moved inwards by half a step."""
    if math.isinf(nu):
        return torch.ones(1, dtype=torch.float64)
    quantiles = torch.linspace(0.0, 1.0, QUANTILES, dtype=torch.float64)
    inside = 0.5 / (QUANTILES - 1)
    values = torch.from_numpy(2.0 * gammaincinv(0.5 * nu, quantiles.clamp(inside, 1.0 - inside).numpy()))
    return (nu / values).sqrt()
