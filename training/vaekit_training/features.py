"""Converts raw rows x to model units t and back, with the Jacobian of the conversion.

N rows, D data dimensions, E inputs of the encoder, L levels over all categories.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from vaekit.bundle.input_spec import Kind
from vaekit_training.data.columns import Statistics

LARGEST = 1e15  # |t| is clamped to it, so that float32 can square the residual of any finite row
LARGEST_INPUT = 1e3  # |input| of the encoder is clamped to it, which changes q only; any q gives a bound
LARGEST_LOG = 700.0  # exp of a larger number overflows float64
BOUNDED = ("positive", "count", "fraction", "binary", "category")  # kinds with values outside their support
NOT_STANDARDIZED = ("fraction", "binary", "category")  # kinds that are not standardised
MASSES = ("count", "binary", "category")  # kinds whose likelihood is a probability, not a density


class Features(nn.Module):
    """The base class: a subclass defines how raw rows x become t in model units."""

    dim: int  # D
    width: int  # E
    row_shape: tuple[int, ...]
    redraws = False  # whether `draw` gives a new t at each training step
    may_be_missing = False  # whether any column may have missing cells
    active: Tensor  # (D,) bool, false for constant columns
    density: Tensor  # (D,) bool, false where the likelihood is a probability mass, which has no Jacobian
    log_inside: Tensor  # (D,) float64: log probability of the support of bounded columns, 0 for others; see reserve

    def _reserve_nothing(self) -> None:
        inside = torch.zeros(self.dim, dtype=torch.float64)
        self.register_buffer("log_inside", inside, persistent=False)  # follows from the data: not in checkpoints

    def reserve(self, kinds: Sequence[Kind], n: int) -> None:
        """Reserve 1 / (n + 1) for values outside each bounded column's support; n is the number of training rows.

        log p(x_d|z) = log n / (n + 1) + log p(x_d|z, x_d inside)     in the graphs: here, log_inside
        log p(x_d|z) = log 1 / (n + 1)                                for x_d outside: vaekit.runtime.row_feeds
        """
        log_inside = math.log(n / (n + 1))
        inside = [log_inside if kind in BOUNDED else 0.0 for kind in kinds]
        self.log_inside = torch.tensor(inside, dtype=torch.float64, device=self.active.device)

    def stored(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """t (N, D) as kept for training; `draw` converts it to the t of a step."""
        t: Tensor = self(x, observed)
        return t

    def draw(self, t: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002  only some features redraw
        """The t of a training step, (N, D), from the stored t (N, D)."""
        return t

    def encoder_input(self, t: Tensor, observed: Tensor | None) -> Tensor:  # noqa: ARG002  only columns can be missing
        """The encoder's input (N, E) for t (N, D)."""
        return t


class Standardize(Features):
    """Columns: t = (f(x) - loc) / scale in float64, where f is log for positive columns and otherwise the identity.

        log p(x) = log p(t) - sum_d [ log scale_d + (log x_d where f is log) ]     over columns that have a density

    The networks do not get a column that is constant in the training rows. It is modelled as
    N(value, (CONSTANT_SCALE |value|)^2), with scale CONSTANT_SCALE if the value is 0, so that another value scores
    high. The encoder gets categories as one-hot vectors, and missing cells as 0. Each column that may be missing adds
    an encoder input that is 1 where the cell is observed.
    """

    loc: Tensor  # (D,) float64
    scale: Tensor  # (D,) float64, > 0
    log: Tensor  # (D,) bool
    level_column: Tensor  # (L,) index of the column of each level
    level: Tensor  # (L,) index of each level in its column
    numeric: Tensor  # indices of the columns that are not categories
    flagged: Tensor  # indices of the columns that may be missing

    def __init__(
        self,
        loc: Tensor,
        scale: Tensor,
        active: Tensor,
        *,
        log: Tensor | None = None,
        density: Tensor | None = None,
        levels: Sequence[int] | None = None,
        may_be_missing: Sequence[bool] | None = None,
    ) -> None:
        """All arguments are by column, (D,); levels: number of levels of a category, 0 for other columns."""
        super().__init__()
        dim = loc.numel()
        counts = list(levels or [0] * dim)
        self.register_buffer("loc", loc)
        self.register_buffer("scale", scale)
        self.register_buffer("active", active)
        self.register_buffer("log", torch.zeros(dim, dtype=torch.bool) if log is None else log)
        self.register_buffer("density", torch.ones(dim, dtype=torch.bool) if density is None else density)
        self.register_buffer("numeric", torch.tensor([d for d, n in enumerate(counts) if not n], dtype=torch.long))
        of = [(d, i) for d, n in enumerate(counts) for i in range(n)]
        self.register_buffer("level_column", torch.tensor([d for d, _ in of], dtype=torch.long))
        self.register_buffer("level", torch.tensor([float(i) for _, i in of]))
        flagged = [d for d, may in enumerate(may_be_missing or ()) if may]
        self.register_buffer("flagged", torch.tensor(flagged, dtype=torch.long))
        self.dim, self.row_shape = dim, (dim,)
        self.width = len(self.numeric) + len(of) + len(flagged)
        self.may_be_missing = bool(flagged)
        self.all_active, self.has_logs = bool(active.all()), bool(self.log.any())
        self._reserve_nothing()

    @classmethod
    def of(
        cls, found: Statistics, kinds: Sequence[Kind], levels: Sequence[int], may_be_missing: Sequence[bool]
    ) -> Standardize:
        """Features from the statistics of the training rows; columns of NOT_STANDARDIZED kinds keep their values."""
        not_standardized = np.array([kind in NOT_STANDARDIZED for kind in kinds])
        counts = np.array([kind == "count" for kind in kinds])
        constant = found.constant & ~not_standardized & ~counts
        scale = np.where(not_standardized | (counts & found.constant), 1.0, found.scale)
        return cls(
            torch.from_numpy(np.where(not_standardized, 0.0, found.loc)),
            torch.from_numpy(scale),
            torch.from_numpy(~constant),
            log=torch.from_numpy(found.log),
            density=torch.tensor([kind not in MASSES for kind in kinds]),
            levels=levels,
            may_be_missing=may_be_missing,
        )

    def leave_out(self, columns: Tensor) -> None:
        """Treat more columns (D,) as constant. If they are not, each is a normal density with its mean and scale."""
        self.active &= ~columns
        self.all_active = bool(self.active.all())

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """t (N, D) float64 for raw x (N, D) float64; 0 for missing cells."""
        value = x
        if self.has_logs:
            there = self.log if observed is None else self.log & observed
            value = torch.where(there, torch.where(there, x, 1.0).log(), x)
        t = ((value - self.loc) / self.scale).clamp(-LARGEST, LARGEST)
        return t if observed is None else torch.where(observed, t, 0.0)

    def encoder_input(self, t: Tensor, observed: Tensor | None) -> Tensor:
        values = t if self.all_active else torch.where(self.active, t, 0.0)
        values = values.clamp(-LARGEST_INPUT, LARGEST_INPUT)  # (N, D)
        if not (len(self.level) or self.may_be_missing):
            return values
        parts = [values.index_select(1, self.numeric)] if len(self.level) else [values]
        if len(self.level):
            is_level = t.index_select(1, self.level_column) == self.level  # (N, L)
            if observed is not None:
                is_level = is_level & observed.index_select(1, self.level_column)
            parts.append(is_level.to(t.dtype))
        if self.may_be_missing:
            assert observed is not None
            parts.append(observed.index_select(1, self.flagged).to(t.dtype))
        return torch.cat(parts, dim=1)  # (N, E)

    def log_jacobian(self, t: Tensor | None = None) -> Tensor:
        """log |dt/dx| of each feature, float64: (D,), or (N, D) if there are positive columns; 0 for masses.

        With log_inside: what turns log p(t_d|z) into log p(x_d|z).
        """
        constant = torch.where(self.density, -self.scale.log(), 0.0) + self.log_inside
        if not self.has_logs:
            return constant
        assert t is not None
        log_x = self.loc + self.scale * t.double()  # (N, D)
        return torch.where(self.log & self.density, constant - log_x, constant)

    def to_raw(self, t: Tensor) -> Tensor:
        """x (..., D) float64 for t (..., D)."""
        value = self.loc + self.scale * t.double()
        if not self.has_logs:
            return value
        return torch.where(self.log, torch.where(self.log, value, 0.0).clamp(-LARGEST_LOG, LARGEST_LOG).exp(), value)

    def to_raw_scale(self, s: Tensor) -> Tensor:
        """The raw scale, (..., D) float64, for a scale s of t; for positive columns it is the scale of log x."""
        return self.scale * s.double()

    def unit(self) -> NDArray[np.float64]:
        """dx/dt at t = 0, (D,): the raw size of one model unit."""
        at_zero = self.to_raw(torch.zeros_like(self.loc))
        return np.asarray((self.scale * torch.where(self.log, at_zero, 1.0)).numpy())


class Pixels(Features):
    """Images: t = (x - loc) / scale per channel, x 0..255; images become rows (N, D) in H, W, C order."""

    loc: Tensor  # (D,)
    scale: Tensor  # (D,)

    def __init__(self, row_shape: tuple[int, ...], loc: Sequence[float], scale: Sequence[float], mass: bool) -> None:
        """loc, scale: one per channel. mass: whether the likelihood is a probability of pixels and not a density."""
        super().__init__()
        self.row_shape, self.dim = row_shape, math.prod(row_shape)
        self.width, self.all_active = self.dim, True
        sites = self.dim // row_shape[-1]
        self.register_buffer("loc", torch.tensor(loc, dtype=torch.float32).repeat(sites))
        self.register_buffer("scale", torch.tensor(scale, dtype=torch.float32).repeat(sites))
        self.register_buffer("active", torch.ones(self.dim, dtype=torch.bool))
        self.register_buffer("density", torch.full((self.dim,), not mass))
        self._reserve_nothing()

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Tensor:  # noqa: ARG002  pixels cannot be missing
        """t (N, D) for raw x (N, H, W, C) uint8."""
        return (x.to(self.loc.dtype).flatten(1) - self.loc) / self.scale

    def log_jacobian(self, t: Tensor | None = None) -> Tensor:  # noqa: ARG002  the same for every row
        """-log scale of each pixel, (D,) float64; 0 for masses."""
        return torch.where(self.density, -self.scale.double().log(), 0.0)

    def to_raw(self, t: Tensor) -> Tensor:
        """x (..., H, W, C) float64 for t (..., D)."""
        return (self.loc + self.scale * t).double().unflatten(-1, self.row_shape)

    def to_raw_scale(self, s: Tensor) -> Tensor:
        """The raw scale, (..., H, W, C) float64, for a scale s (..., D) of t."""
        return (self.scale * s).double().unflatten(-1, self.row_shape)

    def unit(self) -> NDArray[np.float64]:
        """dx/dt, (H, W, C): the raw size of one model unit."""
        return np.asarray(self.scale.double().numpy()).reshape(self.row_shape)


class Binarize(Features):
    """t = 1 if the raw value is >= threshold, else 0, for each pixel or column.

    There is no Jacobian, because the likelihood is a probability of t. With a dither (likelihood.binarize = 'dynamic')
    training draws t ~ Bernoulli(x / high) again at every step. Scores use fixed random thresholds, the dither, which
    are the same for all rows and stored in the model.
    """

    threshold: Tensor  # (D,) in raw units

    def __init__(
        self, row_shape: tuple[int, ...], threshold: float, high: float, *, dither: torch.Generator | None = None
    ) -> None:
        """high: raw value of a one, 255 for pixels and 1 for columns. dither: generator that draws the thresholds."""
        super().__init__()
        self.row_shape, self.high, self.dim = row_shape, high, math.prod(row_shape)
        self.width, self.all_active, self.redraws = self.dim, True, dither is not None
        drawn = (
            torch.full((self.dim,), threshold)
            if dither is None
            else (torch.rand(self.dim, generator=dither) * high).clamp_min(
                1e-3 * high
            )  # never 0, so that a raw 0 stays 0
        )
        self.register_buffer("threshold", drawn)
        self.register_buffer("active", torch.ones(self.dim, dtype=torch.bool))
        self.register_buffer("density", torch.zeros(self.dim, dtype=torch.bool))
        self._reserve_nothing()

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """t (N, D) float32 for raw x, (N, D) float64 or (N, H, W, C) uint8; 0 for missing cells."""
        value = x.to(self.threshold.dtype if x.dtype == torch.uint8 else x.dtype).flatten(1)
        t = (value >= self.threshold).float()  # (N, D)
        return t if observed is None else torch.where(observed, t, 0.0)

    def stored(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        if not self.redraws:
            return self(x, observed)
        return (x.flatten(1) / self.high).float()

    def draw(self, t: Tensor, generator: torch.Generator) -> Tensor:
        if not self.redraws:
            return t
        return (torch.rand(t.shape, generator=generator, device=t.device) < t).to(t.dtype)

    def log_jacobian(self, t: Tensor | None = None) -> Tensor:  # noqa: ARG002  the same for every row
        """log_inside for each feature, (D,) float64: the Jacobian is 1."""
        return self.log_inside

    def to_raw(self, t: Tensor) -> Tensor:
        """high t, (..., *row_shape) float64, for t (..., D)."""
        return self.high * t.double().unflatten(-1, self.row_shape)

    def to_raw_scale(self, s: Tensor) -> Tensor:
        """high s, (..., *row_shape) float64, for a scale s (..., D) of t."""
        return self.to_raw(s)

    def unit(self) -> NDArray[np.float64]:
        """The raw value of a one, in the shape of a row (D,) or (H, W, C)."""
        return np.full(self.row_shape, self.high)


AnyFeatures = Standardize | Pixels | Binarize


def observed_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """x with 0 in place of NaN, and a mask of the observed cells, (N, D) each."""
    observed = ~x.isnan()
    return torch.where(observed, x, 0.0), observed
