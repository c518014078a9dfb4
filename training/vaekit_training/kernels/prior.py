"""p(z) as a mean of kernels around training rows: KL divergence from the posterior, conditionals of cells, samples.

N rows, Z latent dimensions, K clusters, M exemplars in B blocks of S places; nats. With A_k A_k^T = (h^2 S_k + F)^-1:

    p(z) = (1/M) sum_i t_nu(z; c_i, h^2 S_k + F),   delta_i^2(z) = |A_k^T (z - c_i)|^2,   k the cluster of exemplar i

All exemplars of a block are of one cluster, so one batched matrix product computes the distances. Places without an
exemplar have the weight 0. Distances are computed in float64, because they are differences of large squares.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import NamedTuple

import torch
from scipy.special import gammaincinv
from torch import Tensor, nn

from vaekit_training.functional import log_mean_exp_of_many
from vaekit_training.kernels.blocks import blocks_of
from vaekit_training.kernels.mixture import LOG_2PI, whitened, whitening
from vaekit_training.kernels.search import Kernels, log_constant
from vaekit_training.kernels.similar import Similar, most_similar

NOWHERE = -1e30  # log weight of a place without an exemplar
LARGEST = 1e37  # squared distances are clamped to it, so that float32 can hold them
QUANTILES = 1025  # of the chi-squared distribution, for samples
FEWEST_DEGREES = 0.5  # smallest nu + Z - 3 in the variance of a cell, which is infinite at 0


class Cells(NamedTuple):
    """p(z_d | the other cells) of each cell, (N, Z) each, and the most similar exemplars of each row."""

    log_density: Tensor
    mean: Tensor
    deviation: Tensor  # standard deviation
    similar: Similar


class _Part(NamedTuple):
    """The columns that a density has: all, or those of the observed cells of each row."""

    observed: Tensor | None  # (N, Z), 1 where a cell is observed, else 0; None: all are
    dim: Tensor  # (N,) or (1,), number of columns
    log_scale: Tensor  # (B, N, 1) or (B, 1, 1), log det A of the columns


class KernelPrior(nn.Module):
    """The prior of a VAE whose z is a standardised row.

    A Student-t kernel is a mixture of normal kernels of different widths. With the index i of the exemplar and the
    width as further latent variables, and their optimal posterior given q(z|x), the joint KL is

        KL = -log (1/M) sum_i t_nu( sqrt(E_q[delta_i^2]) ) - H(q(z|x)),
        E_q[delta_i^2] = delta_i^2(mu) + sum_j P_jj sigma_j^2,   P = A A^T

    It is at least KL(q(z|x) || p(z)), so that the ELBO remains a lower bound, and needs no draws.
    """

    inputs = ("noise", "choice")  # arguments of sample that are random numbers
    is_standard = False
    row: Tensor  # (M,) index of each exemplar among the training rows
    mean: Tensor  # (K, Z), m_k
    inverse: Tensor  # (K, Z, Z), A_k^T, or its diagonal, (K, Z)
    factor: Tensor  # (K, Z, Z), its inverse, or its diagonal
    log_scale: Tensor  # (K,), log det A_k
    cluster: Tensor  # (B,), k of each block
    exemplars: Tensor  # (B, S, Z), A_k^T (c_i - m_k)
    log_weight: Tensor  # (B, S), 0, or NOWHERE
    place: Tensor  # (M,), place of each exemplar among the B S places
    constants: Tensor  # (Z + 1,), log density at the centre of a kernel of unit scale, by its number of columns
    stretch: Tensor  # (QUANTILES,), sqrt(nu / chi^2) at even quantiles; (1,) for normal kernels
    _one: Tensor

    def __init__(self, kernels: Kernels, row: Tensor) -> None:
        """row: (M,) indices of the exemplars among the training rows."""
        super().__init__()
        self.nu, self.h, self.dim, self.trials = kernels.nu, kernels.h, kernels.mean.shape[1], kernels.trials
        double = replace(
            kernels,
            exemplars=kernels.exemplars.double(),
            mean=kernels.mean.double(),
            covariance=kernels.covariance.double(),
        )
        inverse, log_scale = whitening(double.covariance)
        blocks, places = blocks_of(kernels.cluster)
        centres = double.centres
        exemplars = torch.zeros(*blocks.shape, self.dim, dtype=torch.float64)
        cluster = kernels.cluster[blocks.amax(1)]
        for b, k in enumerate(cluster.tolist()):
            there = blocks[b] >= 0
            exemplars[b, there] = whitened(centres[blocks[b][there]] - double.mean[k], inverse[k])
        self.register_buffer("row", row)
        self.register_buffer("mean", double.mean)
        self.register_buffer("inverse", inverse)
        self.register_buffer("factor", inverse.reciprocal() if inverse.ndim == 2 else torch.linalg.inv(inverse))
        self.register_buffer("log_scale", log_scale)
        self.register_buffer("cluster", cluster)
        self.register_buffer("exemplars", exemplars)
        self.register_buffer("log_weight", torch.where(blocks >= 0, 0.0, NOWHERE).double())
        self.register_buffer("place", places)
        constants = [log_constant(dim, self.nu) for dim in range(self.dim + 1)]
        self.register_buffer("constants", torch.tensor(constants, dtype=torch.float64))
        self.register_buffer("stretch", _stretches(self.nu))
        self.register_buffer("_one", torch.ones(()), persistent=False)  # has the model's dtype

    @property
    def count(self) -> int:
        """M, the number of exemplars."""
        return self.row.numel()

    @property
    def is_diagonal(self) -> bool:
        """Whether the covariances are diagonal. Missing cells then have an exact q: the kernels' own."""
        return self.inverse.ndim == 2

    def kl(self, mu: Tensor, sigma: Tensor, there: Tensor | None = None) -> Tensor:
        """The joint KL of q(z|x), (N,), see the class; of the cells that are `there`, (N, Z) bool, if it is given.

        q(z|x) = N(mu, diag sigma^2), (N, Z) each. Cells that are not there have q(z_d|i) = p(z_d|i) for each exemplar;
        their KL is 0. Only diagonal kernels can leave cells out.
        """
        entropy = sigma.log() + 0.5 * (LOG_2PI + 1.0)
        entropy = entropy if there is None else torch.where(there, entropy, 0.0)
        return (-self.log_density(mu.double(), sigma.double(), there) - entropy.sum(-1).double()).to(mu.dtype)

    def log_ratio(self, sigma: Tensor, z: Tensor, eps: Tensor, there: Tensor | None = None) -> Tensor:
        """log p(z_k) - log q(z_k|x), (N, K), for sigma (N, Z), z and eps (N, K, Z); there as in kl."""
        each = -0.5 * (eps * eps + LOG_2PI) - sigma.log()[:, None]  # (N, K, Z)
        wide = None if there is None else there[:, None].expand(z.shape)
        log_q = (each if wide is None else torch.where(wide, each, 0.0)).sum(-1).double()
        log_p = self.log_density(z.double().flatten(0, 1), None, None if wide is None else wide.flatten(0, 1))
        return (log_p.unflatten(0, z.shape[:2]) - log_q).to(z.dtype)

    def cells(self, mu: Tensor, sigma: Tensor, there: Tensor | None = None) -> Cells:
        """p(z_d | the other cells) at z = mu, for mu and sigma (N, Z); there as in kl.

        Without column d, the kernel of exemplar i has the squared distance delta_i^2 - g_id^2 / P_dd, g = P (z - c_i),
        and given the other cells it is a Student-t density of z_d with nu + Z - 1 degrees of freedom, centre
        z_d - g_id / P_dd and squared scale (nu + delta_i,-d^2) / (nu + Z - 1) / P_dd.
        """
        z, s = mu.double(), sigma.double()
        normal, k = math.isinf(self.nu), self.cluster  # (B,)
        y = self._whitened(z)  # (K, N, Z)
        root = self._precision().sqrt()  # (K, Z), the square root of P_dd
        back = self.inverse[:, None] if self.is_diagonal else None
        of_rows = (y * back if back is not None else y @ self.inverse) / root[:, None]  # P (z - m_k) / root
        of_exemplars = self.exemplars * back[k] if back is not None else self.exemplars @ self.inverse[k]
        part = self._part(there)
        more = part.log_scale + self.log_weight[:, None]  # (B, N, S) or (B, 1, S)
        more = (more - more.amax(dim=(0, 2), keepdim=True)).to(self._one.dtype)
        u = self._squares(y, s, part) * (0.5 if normal else 1.0 / self.nu) + (0.0 if normal else 1.0)  # (B, N, S)
        least = u.amin(dim=(0, 2))[:, None]  # (N, 1): relative to it, float32 is exact enough
        unit = torch.full_like(least, 0.5) if normal else 1.0 / (self.nu * least)
        start = -least if normal else 1.0 / least  # of u, relative
        u = u - least if normal else u / least
        g = of_rows.index_select(0, k)[:, :, None] - (of_exemplars / root[k][:, None])[:, None]  # (B, N, S, Z)
        others = (u[..., None] - unit[:, None] * g * g).maximum(start[:, None])  # (B, N, S, Z): without column d
        lowest = others.amin(dim=(0, 2)) if normal else torch.zeros_like(least)  # (N, Z) or (N, 1)
        others = others - lowest[:, None] if normal else others  # small again, if one cell is most of the distance
        scale = root[k][:, None, None]  # (B, 1, 1, Z)
        centre = (z[:, None] - g / scale).to(more.dtype)  # (B, N, S, Z), of z_d given the other cells
        u, others = u.to(more.dtype), others.to(more.dtype)
        top = 0.5 * (self.nu + part.dim).to(more.dtype)[:, None]  # (N, 1) or (1, 1)
        log_t = more - (u if normal else top * torch.log(u))  # (B, N, S)
        by_place = more[..., None] - root[k].log().to(more.dtype)[:, None, None]  # (B, N, S, Z) or (B, 1, S, Z)
        log_w = by_place - (others if normal else (top - 0.5)[..., None] * torch.log(others))
        peak = log_w.amax(dim=(0, 2), keepdim=True)  # (1, N, 1, Z)
        w = torch.exp(log_w - peak)
        total = w.sum(2).sum(0)  # (N, Z); ONNX Runtime loses digits of float32 in one sum over all exemplars
        log_kernels = log_t.transpose(0, 1).flatten(1)  # (N, B S), up to a constant of each row
        log_density = log_kernels.logsumexp(-1)[:, None] - (peak[0, :, 0] + total.log())
        log_density = log_density.double() + lowest + self._constant(part.dim) - self._constant(part.dim - 1.0)
        log_density = log_density if normal else log_density - 0.5 * least.log()
        w = w / total[:, None]
        variance = torch.ones_like(others)  # for precision 1
        if not normal:
            wider = self.nu / (part.dim + (self.nu - 3.0)).clamp_min(FEWEST_DEGREES)[:, None]
            variance = others * (wider * least)[:, None].to(u.dtype)
        mean = (w * centre).sum(2).sum(0)  # (N, Z)
        off = centre - mean[:, None]
        spread = (w * (variance / (scale * scale).to(u.dtype) + off * off)).sum(2).sum(0)
        similar = most_similar(log_kernels.index_select(1, self.place).double())
        return Cells(log_density, mean.double(), spread.double().clamp_min(1e-12).sqrt(), similar)

    def sample(self, noise: Tensor, choice: Tensor | None = None, member: Tensor | None = None) -> Tensor:  # noqa: ARG002  as in Aggregate
        """z = m_k + (A_k^T)^-1 (A_k^T (c_i - m_k) + r noise), (N, Z), with i = floor(M choice).

        r = sqrt(nu / chi^2_nu), by the quantile of chi^2 at the fraction of M choice; 1 for normal kernels.

        Args:
            noise: standard normals (N, Z).
            choice: uniforms in [0, 1), (N,).
            member: not used.
        """
        assert choice is not None
        scaled = choice.double() * self.count
        i = scaled.floor().long().clamp(0, self.count - 1)  # (N,)
        r = self._stretch(scaled - i)[:, None]  # (N, 1)
        at = self.place.index_select(0, i)
        k = self.cluster.index_select(0, at.div(self.exemplars.shape[1], rounding_mode="floor"))
        y = self.exemplars.flatten(0, 1).index_select(0, at) + r * noise.double()  # (N, Z)
        factor = self.factor.index_select(0, k)
        z = factor * y if factor.ndim == 2 else (factor @ y[..., None]).squeeze(-1)
        return (self.mean.index_select(0, k) + z).to(noise.dtype)

    def log_density(self, z: Tensor, sigma: Tensor | None = None, there: Tensor | None = None) -> Tensor:
        """log (1/M) sum_i t_nu(sqrt(E[delta_i^2])), (N,) float64, for z and its standard deviations (N, Z) float64.

        One matrix product gives 1 + E[delta_i^2] / nu, or E[delta_i^2] / 2 for normal kernels. With there (N, Z) bool,
        it is the density of these cells of each row.
        """
        normal = math.isinf(self.nu)
        unit, start = (0.5, 0.0) if normal else (1.0 / self.nu, 1.0)
        c = self.exemplars  # (B, S, Z)
        part, one = self._part(there), torch.ones_like(c[..., :1])
        squares = c.square() if part.observed is not None else c.square().sum(-1, keepdim=True)
        weights = torch.cat([-2.0 * unit * c, unit * one, start * one, unit * squares], -1).transpose(1, 2)
        own, at_rows = self._of_rows(self._whitened(z), sigma, part)  # (B, N, Z), (B, N, 1)
        ones = torch.ones_like(at_rows)
        at_exemplars = ones if part.observed is None else part.observed.expand(len(c), -1, -1)
        u = torch.cat([own, at_rows, ones, at_exemplars], -1) @ weights  # (B, N, S)
        u = u.clamp(start, LARGEST).to(self._one.dtype)
        more = part.log_scale + self.log_weight[:, None] + self._constant(part.dim)  # (B, N, S) or (B, 1, S)
        top = 0.5 * (self.nu + part.dim)[:, None]  # (N, 1) or (1, 1)
        log_t = more.to(u.dtype) - (u if normal else top.to(u.dtype) * torch.log(u))
        by_block = log_mean_exp_of_many(log_t).double().transpose(0, 1)  # (N, B)
        return torch.logsumexp(by_block, dim=-1) + math.log(c.shape[1] / self.count)

    def _whitened(self, z: Tensor) -> Tensor:
        """A_k^T (z - m_k), (K, N, Z), for z (N, Z)."""
        centred = z - self.mean[:, None]  # (K, N, Z)
        return centred * self.inverse[:, None] if self.is_diagonal else centred @ self.inverse.transpose(1, 2)

    def _part(self, there: Tensor | None) -> _Part:
        """The columns of the cells that are there, (N, Z) bool; None: all."""
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
        """E[delta_i^2], (B, N, S), for y (K, N, Z) and the standard deviations of z, (N, Z)."""
        own, at_rows = self._of_rows(y, sigma, part)
        squares = self.exemplars.square()  # (B, S, Z)
        seen = part.observed
        at_exemplars = squares.sum(-1)[:, None] if seen is None else seen @ squares.transpose(1, 2)  # (B, N or 1, S)
        cross = own @ (-2.0 * self.exemplars.transpose(1, 2))  # (B, N, S)
        return (at_rows + at_exemplars + cross).clamp(0.0, LARGEST)

    def _of_rows(self, y: Tensor, sigma: Tensor | None, part: _Part) -> tuple[Tensor, Tensor]:
        """y of each block's cluster, (B, N, Z), and |y|^2 + sum_j P_jj s_j^2, (B, N, 1); arguments as in _squares."""
        y = y if part.observed is None else y * part.observed
        at_rows = y.square().sum(-1)  # (K, N)
        if sigma is not None:
            variance = sigma.square() if part.observed is None else sigma.square() * part.observed
            at_rows = at_rows + self._precision() @ variance.transpose(0, 1)
        return y.index_select(0, self.cluster), at_rows.index_select(0, self.cluster)[..., None]

    def _precision(self) -> Tensor:
        """P_jj, (K, Z)."""
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
