"""Describes a VAE loss of another project: its terms, weights and reductions, checked.

D data dimensions, Z latent dimensions, B rows of a batch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from vaekit.errors import InputError

Error = Literal["squared", "gaussian", "bce", "density"]
OverDims = Literal["sum", "mean"]
OverLatents = Literal["sum", "mean", "dims"]
OverRows = Literal["mean", "sum"]
Units = Literal["standardized", "unit", "symmetric", "raw"]
Setting = tuple[str, str | int | float]

CHOICES: dict[str, tuple[str, ...]] = {
    "error": ("squared", "gaussian", "bce", "density"),
    "over_dims": ("sum", "mean"),
    "kl_over": ("sum", "mean", "dims"),
    "over_rows": ("mean", "sum"),
    "kl_over_rows": ("mean", "sum"),
    "units": ("standardized", "unit", "symmetric", "raw"),
}


@dataclass(frozen=True)
class ForeignLoss:
    """A loss of another project.

    Raises:
        InputError: a field that is out of range, or a field that the others require is not given.
    """

    error: Error = "squared"  # gaussian: -log N(x; m, scale^2) in full; density: -log p of the settings in `ours`
    weight: float = 1.0  # of the error: 0.5 if the squared error is halved
    over_dims: OverDims = "sum"
    over_rows: OverRows = "mean"
    kl_weight: float = 1.0
    kl_over: OverLatents = "sum"  # mean: over Z; dims: the sum divided by D
    kl_over_rows: OverRows = "mean"
    scale: float | None = None  # gaussian
    grey: bool = False  # bce: of values between 0 and 1, which is not a density
    ours: tuple[Setting, ...] = ()  # density: vaekit's settings of [likelihood] for it
    units: Units = "standardized"  # of x in the loss: pixels 0..1, -1..1, or raw columns
    std: float | None = None  # raw: a column's standard deviation
    dim: int | None = None  # D
    latent_dim: int | None = None  # Z
    batch_size: int | None = None  # B

    def __post_init__(self) -> None:
        for field, known in CHOICES.items():
            _check(getattr(self, field) in known, field, getattr(self, field), " or ".join(map(repr, known)))
        for field in ("dim", "latent_dim", "batch_size"):
            value = getattr(self, field)
            _check(value is None or value >= 1, field, value, "a whole number of at least 1")
        for field in ("weight", "scale", "std"):
            value = getattr(self, field)
            _check(value is None or (math.isfinite(value) and value > 0), field, value, "a number above 0")
        _check(math.isfinite(self.kl_weight) and self.kl_weight >= 0, "kl_weight", self.kl_weight, "0 or more")
        self._together()

    def _together(self) -> None:
        if self.is_squared or self.over_dims == "mean" or self.kl_over == "dims":
            _need(self.dim, "dim", "D, the number of data dimensions")
        if self.kl_over == "mean":
            _need(self.latent_dim, "latent_dim", "Z, because the KL is averaged over it")
        if self.over_rows != self.kl_over_rows:
            _need(self.batch_size, "batch_size", "B, because one term is summed over the batch and the other averaged")
        if self.error == "gaussian":
            _need(self.scale, "scale", "the standard deviation in -log N(x; m, scale^2)")
        _check(self.error == "gaussian" or self.scale is None, "scale", self.scale, "nothing unless error = 'gaussian'")
        if self.units == "raw":
            _need(self.std, "std", "a column's standard deviation, because units = 'raw'")
        _check(self.units == "raw" or self.std is None, "std", self.std, "nothing unless units = 'raw'")
        _check(self.error != "density" or bool(self.ours), "ours", self.ours, "the likelihood's settings")

    @property
    def is_squared(self) -> bool:
        """Whether E is SSE."""
        return self.error in ("squared", "gaussian")

    @property
    def per_row(self) -> tuple[float, float]:
        """(a, b) in the mean over rows of a E + b KL; E is SSE for `gaussian` too."""
        rows = self.batch_size or 1  # only their ratio matters if both terms are summed
        a = (
            self.weight
            / ((self.dim or 1) if self.over_dims == "mean" else 1)
            * (rows if self.over_rows == "sum" else 1)
        )
        if self.scale is not None:
            a /= 2 * self.scale**2
        latents = {"sum": 1, "mean": self.latent_dim or 1, "dims": self.dim or 1}[self.kl_over]
        return a, self.kl_weight / latents * (rows if self.kl_over_rows == "sum" else 1)

    @property
    def included(self) -> float:
        """The constants that the foreign loss already contains, nats per row."""
        if self.scale is None:
            return 0.0
        a, _ = self.per_row
        return a * 2 * self.scale**2 * log_normaliser(self.dim or 1, self.scale)

    @property
    def formula(self) -> str:
        """The loss of a row as a formula."""
        name = {"squared": "SSE", "gaussian": f"-log N(x; m, {self.scale}^2)", "bce": "BCE", "density": "-log p(x|z)"}
        mean = f" / {self.dim}" if self.over_dims == "mean" else ""
        latents = {"sum": "", "mean": f" / {self.latent_dim}", "dims": f" / {self.dim}"}[self.kl_over]
        left = _times(self.weight, name[self.error]) + mean + (" x B" if self._sums_one("over_rows") else "")
        right = _times(self.kl_weight, "KL") + latents + (" x B" if self._sums_one("kl_over_rows") else "")
        return f"{left} + {right}"

    def _sums_one(self, field: str) -> bool:
        return self.over_rows != self.kl_over_rows and getattr(self, field) == "sum"


def log_normaliser(dim: int, sigma: float) -> float:
    """(D/2) log(2 pi sigma^2), nats: the part of -log N(x; m, sigma^2 I) that a squared error leaves out."""
    return 0.5 * dim * math.log(2 * math.pi * sigma**2)


def _times(weight: float, term: str) -> str:
    return term if weight == 1 else f"{weight:g} {term}"


def _check(ok: bool, field: str, value: object, takes: str) -> None:
    if not ok:
        raise InputError(f"{field}: {value!r}, expected {takes}")


def _need(value: object, field: str, why: str) -> None:
    if value is None:
        raise InputError(f"{field}: not given, expected {why}")
