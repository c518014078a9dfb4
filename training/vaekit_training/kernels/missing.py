"""Fills in missing cells by a normal distribution with the covariance of the training rows.

N rows, Z columns in model units; cells that are missing hold any number. Levels are independent of all other columns.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from vaekit_training.kernels.mixture import MOST_FULL, SHRINK

STEPS = 24  # of the iteration; with a condition number of 100 the error falls to a hundredth
ROUNDS = 5  # of filling in and estimating the covariance


class Conditional(nn.Module):
    """Fills in the missing cells of rows by their means under N(0, Q^-1), given the other cells.

    The filled cells minimise z^T Q z over the missing ones. They are found by Chebyshev's iteration, preconditioned by
    the diagonal of Q, with the spectrum of the whole matrix, which includes those of its parts. It is linear in the
    row, so rounding errors do not grow, and any number of steps is valid: any q gives a bound.

    Source: Golub and Varga (1961), "Chebyshev semi-iterative methods".
    """

    precision: Tensor  # Q, (Z, Z), or its diagonal, (Z,)

    def __init__(self, precision: Tensor) -> None:
        super().__init__()
        self.register_buffer("precision", precision.double())
        if precision.ndim == 2:
            root = torch.diagonal(precision).sqrt()
            spectrum = torch.linalg.eigvalsh(precision / root[:, None] / root)
            self.centre = float(spectrum[-1] + spectrum[0]) / 2.0
            self.radius = max(float(spectrum[-1] - spectrum[0]) / 2.0, 1e-6)

    def forward(self, z: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Rows with the missing cells filled in, and their standard deviations given all other cells, (N, Z) each.

        Args:
            z: rows (N, Z), float64; missing cells hold any finite number.
            there: which cells are observed, (N, Z) bool.
        """
        if self.precision.ndim == 1:
            return torch.where(there, z, 0.0), self.precision.rsqrt() + z * 0.0
        root = torch.diagonal(self.precision).sqrt()
        q, missing = self.precision / root[:, None] / root, (~there).double()
        filled = z * there.double() * root
        residual = -missing * (filled @ q)  # (N, Z)
        rate, step = self.radius / self.centre, residual / self.centre
        for _ in range(STEPS):
            filled, residual = filled + step, residual - missing * (step @ q)
            after = 1.0 / (2.0 * self.centre / self.radius - rate)
            step = (after * rate) * step + (2.0 * after / self.radius) * residual
            rate = after
        return filled / root, root.reciprocal() + z * 0.0


class Usual(nn.Module):
    """Fills in the missing cells of rows: numbers by Conditional, levels by the mean index in the training rows."""

    at_numbers: Tensor  # (R,) the columns of numbers
    at_levels: Tensor  # (C,) the columns of levels
    order: Tensor  # (Z,) place of each column among the numbers and then the levels
    mean: Tensor  # (C,) of the index
    deviation: Tensor  # (C,)

    def __init__(self, precision: Tensor, is_level: Tensor, code: Tensor) -> None:
        """
        Args:
            precision: inverse covariance of the numbers of the training rows, (R, R), or its diagonal, (R,).
            is_level: (Z,) bool, which columns have levels.
            code: indices of the levels of training rows, (n, C), NaN where a cell is missing.
        """
        super().__init__()
        at_numbers, at_levels = (~is_level).nonzero()[:, 0], is_level.nonzero()[:, 0]
        there = ~code.isnan()
        count, known = there.sum(0).clamp_min(1), torch.where(there, code, 0.0)
        mean = known.sum(0) / count
        variance = torch.where(there, code - mean, 0.0).square().sum(0) / count
        self.register_buffer("at_numbers", at_numbers)
        self.register_buffer("at_levels", at_levels)
        self.register_buffer("order", torch.argsort(torch.cat([at_numbers, at_levels])))
        self.register_buffer("mean", mean.double())
        self.register_buffer("deviation", variance.sqrt().clamp_min(0.1).double())
        self.numbers = Conditional(precision) if len(at_numbers) else None

    def forward(self, z: Tensor, there: Tensor) -> tuple[Tensor, Tensor]:
        """Rows with the missing cells filled in, and their standard deviations, (N, Z) each; as in Conditional."""
        if not len(self.at_levels):
            assert self.numbers is not None
            filled, deviation = self.numbers(z, there)
            return filled, deviation
        levels = z.index_select(1, self.at_levels) * 0.0
        parts = [(levels + self.mean, levels + self.deviation)]
        if self.numbers is not None:
            parts.insert(0, self.numbers(z.index_select(1, self.at_numbers), there.index_select(1, self.at_numbers)))
        filled, deviation = (torch.cat(each, 1).index_select(1, self.order) for each in zip(*parts, strict=True))
        return filled, deviation


def precision(t: Tensor, more: Tensor | None = None) -> Tensor:
    """The inverse covariance of rows t (N, Z), shrunk to its diagonal; for many columns its diagonal, (Z,).

    more: (Z,) variances to add, of cells that were filled in.
    """
    n, dim = t.shape
    centred = t - t.mean(0)
    added = torch.zeros(dim, dtype=t.dtype) if more is None else more
    variance = centred.square().mean(0) + added + 1e-4
    if dim > MOST_FULL:
        return variance.reciprocal()
    weight = max(1.0, SHRINK * n) if n > dim else float(dim)
    covariance = centred.T @ centred / n + torch.diag(added)
    return torch.linalg.inv((n * covariance + weight * torch.diag(variance)) / (n + weight))


def completed(t: Tensor, there: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Training rows t (N, Z) with missing cells drawn from a normal distribution, and its precision as in `precision`.

    The covariance and the missing cells are estimated in turn.
    """
    if bool(there.all()):
        return t, precision(t)
    filled, deviation = torch.where(there, t, 0.0), torch.ones_like(t)
    for _ in range(ROUNDS):
        q = precision(filled, (torch.where(there, 0.0, deviation).square()).mean(0))
        filled, deviation = Conditional(q)(t, there)
    noise = torch.randn(t.shape, generator=generator, dtype=t.dtype)
    return torch.where(there, t, filled + deviation * noise), q
