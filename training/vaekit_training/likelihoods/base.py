"""The base class of likelihoods, and the scale that some of them have.

t (..., D) are rows in model units. h (..., width) are the raw outputs of the decoder: the first parameter of all D
columns, then the second, and so on. Leading axes of t and h are broadcast: in training t is (N, 1, D) and h is
(N, K, width), or (M, N, K, width) with M members.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from vaekit_training.functional import softplus, softplus_inverse

ScaleKind = str | float | tuple[str, ...]  # as likelihood.scale in a config
LARGEST_RESIDUAL = 1e9  # |t - m| / s is clamped to it, so that every finite row has a finite log density


class DecoderHead(Protocol):
    """The decoder's last layer, or the slice of its outputs that one likelihood reads."""

    def zero_rows(self, rows: slice, value: float | Tensor) -> None:
        """Make these outputs equal to `value` for every z, until training changes their weights."""
        ...

    def set_bias(self, rows: slice, value: float | Tensor) -> None:
        """Set the bias of these outputs to `value`; their weights do not change."""
        ...


class Likelihood(nn.Module):
    """p(x|z) = prod_d p(x_d|z) over D columns."""

    dim: int  # D
    width: int  # number of raw decoder outputs
    mass: bool = False  # whether log_prob is the log of a probability and not of a density
    parameters_in_raw_units: tuple[str, ...] = ("mean", "scale")

    def initialize(self, head: DecoderHead) -> None:
        """Initialise the decoder's head so that p(x|z) is near the standardised data; by default do nothing."""

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """log p(t_d|z), (..., D), in nats and model units, for t (..., D) and h (..., width)."""
        raise NotImplementedError

    def mean(self, h: Tensor) -> Tensor:
        """E[t_d|z], (..., D), for h (..., width); for a category the index of its most probable level."""
        raise NotImplementedError

    def deviation(self, h: Tensor) -> Tensor:
        """Standard deviation of t_d given z, (..., D), for h (..., width).

        For a category it is that of the indicator of the most probable level, sqrt(p (1 - p)).
        """
        raise NotImplementedError

    def scale(self, h: Tensor) -> Tensor | None:
        """The scale parameter, (..., D), for h (..., width); None if the mean is the only parameter."""
        return self.deviation(h)

    def extras(self, h: Tensor) -> dict[str, Tensor]:  # noqa: ARG002  most likelihoods have none
        """Further parameters by name, (..., D) or, for categories, (..., number of levels), for h (..., width)."""
        return {}

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """A draw of t given z, (..., D), from standard normals noise (..., D, 2), for h (..., width)."""
        raise NotImplementedError


class Scale(nn.Module):
    """Scale s_d > 0 of D columns: a decoder output, one parameter per column, one for all columns, or fixed.

        s = floor + softplus(raw), raw from the decoder or a parameter

    Members may differ: for some the scale is a decoder output, others have one parameter per column.
    """

    floor: Tensor  # lower limit of learned scales, (D,), or (M, 1, 1, D) if members have different ones
    fixed: Tensor  # (D,) the scale, if it is a fixed number
    heard: Tensor  # (M, 1, 1, 1), 1 for members whose scale is a decoder output, else 0; name kept for checkpoints

    def __init__(self, kind: ScaleKind, floor: Tensor, members: int | None) -> None:
        super().__init__()
        self.kind = kind if isinstance(kind, str) else "by member" if isinstance(kind, tuple) else "fixed"
        self.dim = floor.shape[-1]
        self.from_network = self.kind in ("network", "by member")
        self.register_buffer("floor", floor.float())
        if isinstance(kind, tuple):
            heard = torch.tensor([float(one == "network") for one in kind]).view(-1, 1, 1, 1)
            self.register_buffer("heard", heard)
            start = torch.where(heard > 0, 0.0, softplus_inverse(1.0))
            self.raw_scale = nn.Parameter(start.repeat(1, 1, 1, self.dim))
        elif isinstance(kind, str) and not self.from_network:
            shape = parameter_shape(self.dim if kind == "feature" else 1, members)
            self.raw_scale = nn.Parameter(torch.full(shape, softplus_inverse(1.0)))
        elif not isinstance(kind, str):
            self.register_buffer("fixed", torch.full((self.dim,), float(kind)))

    def forward(self, raw: Tensor) -> Tensor:
        """s, broadcastable to (..., D), from the decoder's raw outputs (..., D), which are ignored if not needed."""
        if self.kind == "fixed":
            return self.fixed
        if self.kind == "by member":
            return self.floor + softplus(self.heard * raw + self.raw_scale)
        return self.floor + softplus(raw if self.from_network else self.raw_scale)


def parameter_shape(size: int, members: int | None) -> tuple[int, ...]:
    """Shape of a learned parameter outside the network: (size,), or (M, 1, 1, size), broadcastable to (M, N, K, D)."""
    return (size,) if members is None else (members, 1, 1, size)
