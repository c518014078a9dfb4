"""Raw rows <-> what the networks see, with the Jacobian between them. Knows units, not networks or likelihoods."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

LARGEST = 1e15  # |t| beyond it is cut, so that float32 can square the residual of any finite row
CONSTANT_SCALE = 1e-6  # of |value|: above float32's rounding of the value, below any change worth the name


class Standardize(nn.Module):
    """t = (x - loc) / scale per column, in float64; dx = scale dt, so log p(x) = log p(t) - sum_d log scale_d.

    A column that never changed in training is not shown to the networks; it is modelled as N(value, CONSTANT_SCALE
    |value|) (CONSTANT_SCALE where the value is 0), so that a row which differs there is as odd as it should be.
    """

    all_active: bool
    loc: Tensor  # (D,) float64
    scale: Tensor  # (D,) float64, > 0
    active: Tensor  # (D,) bool, false for constant columns

    def __init__(self, loc: Tensor, scale: Tensor, active: Tensor) -> None:
        super().__init__()
        self.register_buffer("loc", loc)
        self.register_buffer("scale", scale)
        self.register_buffer("active", active)
        self.all_active = bool(active.all())

    @classmethod
    def fit(cls, x: NDArray[np.float64]) -> Standardize:
        """Mean and standard deviation of each column of x (n, D); not finite, or 0, where float64 cannot hold them."""
        active = ~constant_columns(x)
        value = x[0]
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            loc = np.where(active, x.mean(axis=0), value)
            scale = np.where(active, x.std(axis=0), np.where(value == 0, 1.0, np.abs(value)) * CONSTANT_SCALE)
        return cls(torch.from_numpy(loc), torch.from_numpy(scale), torch.from_numpy(active))

    @property
    def dim(self) -> int:
        return self.loc.numel()

    def forward(self, x: Tensor) -> Tensor:
        """t (N, D) float64 for raw x (N, D) float64."""
        return ((x - self.loc) / self.scale).clamp(-LARGEST, LARGEST)

    def log_jacobian(self) -> Tensor:
        """-log scale of each feature, (D,) float64: what turns log p(t) into log p(x)."""
        return -self.scale.log()

    def to_raw(self, t: Tensor) -> Tensor:
        """x of t, (..., D) float64."""
        return self.loc + self.scale * t.double()

    def to_raw_scale(self, s: Tensor) -> Tensor:
        """Raw scale of a scale of t, (..., D) float64."""
        return self.scale * s.double()


class Binarize(nn.Module):
    """b in {0, 1} of each pixel or column: raw value >= threshold. No Jacobian: b is what the density is of."""

    active: Tensor  # (D,) bool, all true

    def __init__(self, row_shape: tuple[int, ...], threshold: float, high: float) -> None:
        """high: the raw value that stands for one (255 for pixels, 1 for columns)."""
        super().__init__()
        self.row_shape, self.threshold, self.high = row_shape, threshold, high
        self.all_active = True
        self.register_buffer("active", torch.ones(self.dim, dtype=torch.bool))

    @property
    def dim(self) -> int:
        return math.prod(self.row_shape)

    def forward(self, x: Tensor) -> Tensor:
        """b (N, D) float32 for raw x, (N, D) float64 or (N, H, W, C) uint8."""
        return (x.to(torch.float32 if x.dtype == torch.uint8 else x.dtype) >= self.threshold).float().flatten(1)

    def log_jacobian(self) -> Tensor:
        return torch.zeros(self.dim, dtype=torch.float64)

    def to_raw(self, b: Tensor) -> Tensor:
        """Raw values, float64, in the shape of a row."""
        return self.high * b.double().unflatten(-1, self.row_shape)

    def to_raw_scale(self, s: Tensor) -> Tensor:
        return self.to_raw(s)


Features = Standardize | Binarize


def constant_columns(x: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Columns whose values differ by no more than float64's rounding of them, (D,)."""
    with np.errstate(over="ignore"):
        span = x.max(axis=0) - x.min(axis=0)
    return np.asarray(span <= 8 * np.spacing(np.abs(x).max(axis=0)))


def resolution(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Smallest gap between two different values of each column, (D,); 0 for constant columns.

    Recorded values are rounded: no density of them can honestly be narrower than that.
    """
    with np.errstate(over="ignore"):
        gaps = np.diff(np.sort(x, axis=0), axis=0)
    gaps[gaps <= 8 * np.spacing(np.abs(x).max(axis=0))] = np.inf
    smallest = gaps.min(axis=0, initial=np.inf)
    return np.where(np.isfinite(smallest), smallest, 0.0)
