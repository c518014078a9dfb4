"""Converts raw rows to what the networks see and back, with the Jacobian.

N rows, D data dimensions, E inputs of the encoder.
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

LARGEST = 1e15  # |t| is cut here, so that float32 can square the residual of any finite row
LARGEST_INPUT = 1e3  # the encoder's input is cut here: with any q the bound holds
LARGEST_LOG = 700.0  # exp of more overflows float64
BOUNDED = ("positive", "count", "fraction", "binary", "category")  # kinds with values outside their support
AS_THEY_ARE = ("fraction", "binary", "category")  # kinds that are not standardised
MASSES = ("count", "binary", "category")  # kinds whose likelihood is a probability, not a density


class Features(nn.Module):
    """What rows of any kind have in common; a subclass defines how x becomes t."""

    dim: int  # D
    width: int  # E
    row_shape: tuple[int, ...]
    redraws = False  # whether draw gives a new t at each step
    may_be_missing = False  # whether any cell may be missing
    active: Tensor  # (D,) bool, false for constant columns
    density: Tensor  # (D,) bool, false where the likelihood is a probability mass, which has no Jacobian
    log_inside: Tensor  # (D,) float64: log probability of the support of bounded columns, 0 for others; see reserve

    def _reserve_nothing(self) -> None:
        inside = torch.zeros(self.dim, dtype=torch.float64)
        self.register_buffer("log_inside", inside, persistent=False)  # follows from the data: not in checkpoints

    def reserve(self, kinds: Sequence[Kind], n: int) -> None:
        """Reserve the probability 1 / (n + 1) for values outside each bounded column's support.

        Values inside have n / (n + 1) together, so that the density stays normalised:

            log p(x_d|z) = log n / (n + 1) + log p(x_d|z, x_d inside),  log 1 / (n + 1) for x_d outside

        The graphs hold the first; `vaekit.runtime.row_feeds` adds the second.

        Args:
            kinds: of the columns, D.
            n: number of training rows.
        """
        log_inside = math.log(n / (n + 1))
        inside = [log_inside if kind in BOUNDED else 0.0 for kind in kinds]
        self.log_inside = torch.tensor(inside, dtype=torch.float64, device=self.active.device)

    def seen(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """t (N, D) as stored for training; `draw` makes batches from it."""
        t: Tensor = self(x, observed)
        return t

    def draw(self, t: Tensor, generator: torch.Generator) -> Tensor:  # noqa: ARG002  only some features redraw
        """The t of this step from the stored t, (N, D)."""
        return t

    def shown(self, t: Tensor, observed: Tensor | None) -> Tensor:  # noqa: ARG002  only columns can be missing
        """The encoder's input (N, E) for t (N, D)."""
        return t


class Standardize(Features):
    """Columns: t = (f(x) - loc) / scale in float64; f is log for positive columns, otherwise the identity.

        log p(x) = log p(t) - sum_d [ log scale_d + (log x_d where f is log) ]     over columns that have a density

    A column that is constant in the training rows is not shown to the networks. It is modelled as
    N(value, CONSTANT_SCALE |value|), with scale CONSTANT_SCALE if the value is 0, so that another value scores high.
    Categories are one-hot for the networks. A missing cell is 0; each column that may be missing has an extra input.
    """

    loc: Tensor  # (D,) float64
    scale: Tensor  # (D,) float64, > 0
    log: Tensor  # (D,) bool
    level_column: Tensor  # (L,) column of each level, over all categories
    level: Tensor  # (L,) index of each level in its column
    numeric: Tensor  # (D - categories,) columns that are not categories
    flagged: Tensor  # columns that may be missing

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
        """levels: number of levels of each column, 0 unless it is a category. All arguments by column, (D,)."""
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
        """From the statistics of the training rows and the columns' kinds; AS_THEY_ARE kinds are not changed."""
        as_they_are = np.array([kind in AS_THEY_ARE for kind in kinds])
        counts = np.array([kind == "count" for kind in kinds])
        constant = found.constant & ~as_they_are & ~counts
        scale = np.where(as_they_are | (counts & found.constant), 1.0, found.scale)
        return cls(
            torch.from_numpy(np.where(as_they_are, 0.0, found.loc)),
            torch.from_numpy(scale),
            torch.from_numpy(~constant),
            log=torch.from_numpy(found.log),
            density=torch.tensor([kind not in MASSES for kind in kinds]),
            levels=levels,
            may_be_missing=may_be_missing,
        )

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """t (N, D) float64 for raw x (N, D) float64; 0 for cells that are not observed."""
        value = x
        if self.has_logs:
            there = self.log if observed is None else self.log & observed
            value = torch.where(there, torch.where(there, x, 1.0).log(), x)
        t = ((value - self.loc) / self.scale).clamp(-LARGEST, LARGEST)
        return t if observed is None else torch.where(observed, t, 0.0)

    def shown(self, t: Tensor, observed: Tensor | None) -> Tensor:
        seen = t if self.all_active else torch.where(self.active, t, 0.0)
        seen = seen.clamp(-LARGEST_INPUT, LARGEST_INPUT)
        if not (len(self.level) or self.may_be_missing):
            return seen
        parts = [seen.index_select(1, self.numeric)] if len(self.level) else [seen]
        if len(self.level):
            is_level = t.index_select(1, self.level_column) == self.level  # (N, L)
            if observed is not None:
                is_level = is_level & observed.index_select(1, self.level_column)
            parts.append(is_level.to(t.dtype))
        if self.may_be_missing:
            assert observed is not None
            parts.append(observed.index_select(1, self.flagged).to(t.dtype))
        return torch.cat(parts, dim=1)

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
        """x for t, (..., D) float64."""
        value = self.loc + self.scale * t.double()
        if not self.has_logs:
            return value
        return torch.where(self.log, torch.where(self.log, value, 0.0).clamp(-LARGEST_LOG, LARGEST_LOG).exp(), value)

    def to_raw_scale(self, s: Tensor) -> Tensor:
        """Raw scale for a scale of t, (..., D) float64; for positive columns the scale of log x."""
        return self.scale * s.double()

    def unit(self) -> NDArray[np.float64]:
        """The raw change that a change of 1 in t makes at t = 0, (D,)."""
        at_zero = self.to_raw(torch.zeros_like(self.loc))
        return np.asarray((self.scale * torch.where(self.log, at_zero, 1.0)).numpy())


class Pixels(Features):
    """Images: t = (x - loc) / scale per channel, x 0..255; rows become (N, D) in H, W, C order."""

    loc: Tensor  # (D,)
    scale: Tensor  # (D,)

    def __init__(self, row_shape: tuple[int, ...], loc: Sequence[float], scale: Sequence[float], mass: bool) -> None:
        """loc, scale: one per channel. mass: the likelihood is a probability of pixels, not a density."""
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
        """Raw values, float64, in the shape of a row."""
        return (self.loc + self.scale * t).double().unflatten(-1, self.row_shape)

    def to_raw_scale(self, s: Tensor) -> Tensor:
        """Raw scale, float64, in the shape of a row."""
        return (self.scale * s).double().unflatten(-1, self.row_shape)

    def unit(self) -> NDArray[np.float64]:
        """The raw change that a change of 1 in t makes, in the shape of a row."""
        return np.asarray(self.scale.double().numpy()).reshape(self.row_shape)


class Binarize(Features):
    """b in {0, 1} for each pixel or column: raw value >= threshold. No Jacobian: the likelihood is a probability of b.

    `dynamic` draws b ~ Bernoulli(x / high) again at every training step. Scores use one fixed draw for all rows: random
    thresholds (a dither) stored in the model.
    """

    threshold: Tensor  # (D,) in raw units

    def __init__(
        self, row_shape: tuple[int, ...], threshold: float, high: float, *, dither: torch.Generator | None = None
    ) -> None:
        """high: the raw value of a one (255 for pixels, 1 for columns). dither: generator of the thresholds."""
        super().__init__()
        self.row_shape, self.high, self.dim = row_shape, high, math.prod(row_shape)
        self.width, self.all_active, self.redraws = self.dim, True, dither is not None
        drawn = (
            torch.full((self.dim,), threshold)
            if dither is None
            else (torch.rand(self.dim, generator=dither) * high).clamp_min(1e-3 * high)  # 0 is never a one
        )
        self.register_buffer("threshold", drawn)
        self.register_buffer("active", torch.ones(self.dim, dtype=torch.bool))
        self.register_buffer("density", torch.zeros(self.dim, dtype=torch.bool))
        self._reserve_nothing()

    def forward(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        """b (N, D) float32 for raw x, (N, D) float64 or (N, H, W, C) uint8."""
        value = x.to(self.threshold.dtype if x.dtype == torch.uint8 else x.dtype).flatten(1)
        b = (value >= self.threshold).float()
        return b if observed is None else torch.where(observed, b, 0.0)

    def seen(self, x: Tensor, observed: Tensor | None = None) -> Tensor:
        if not self.redraws:
            return self(x, observed)
        return (x.flatten(1) / self.high).float()

    def draw(self, t: Tensor, generator: torch.Generator) -> Tensor:
        if not self.redraws:
            return t
        return (torch.rand(t.shape, generator=generator, device=t.device) < t).to(t.dtype)

    def log_jacobian(self, t: Tensor | None = None) -> Tensor:  # noqa: ARG002  the same for every row
        return self.log_inside

    def to_raw(self, b: Tensor) -> Tensor:
        """Raw values, float64, in the shape of a row."""
        return self.high * b.double().unflatten(-1, self.row_shape)

    def to_raw_scale(self, s: Tensor) -> Tensor:
        return self.to_raw(s)

    def unit(self) -> NDArray[np.float64]:
        """The raw value of a one, in the shape of a row."""
        return np.full(self.row_shape, self.high)


AnyFeatures = Standardize | Pixels | Binarize


def observed_rows(x: Tensor) -> tuple[Tensor, Tensor]:
    """x with 0 in place of NaN, and which cells are observed, (N, D) each."""
    observed = ~x.isnan()
    return torch.where(observed, x, 0.0), observed
