"""The base class of likelihoods, and the scale that some of them have.

t are rows in model units, broadcast against the decoder's raw outputs h (..., width); h holds the first parameter of
all D columns, then the second, and so on. With M members h is (M, N, K, width).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from vaekit_training.functional import softplus, softplus_inverse

ScaleKind = str | float | tuple[str, ...]  # as likelihood.scale in a config
LARGEST_RESIDUAL = 1e9  # residuals, in scales, are cut here, so that every finite row has a finite density


class DecoderHead(Protocol):
    """The decoder's last layer, or the part of it that one likelihood reads."""

    def zero_rows(self, rows: slice, value: float | Tensor) -> None:
        """Fix these outputs at `value` for every z."""
        ...

    def set_bias(self, rows: slice, value: float | Tensor) -> None:
        """Start these outputs near `value`."""
        ...


class Likelihood(nn.Module):
    """p(x|z) over D columns."""

    dim: int
    width: int  # raw outputs of the decoder that it reads
    mass: bool = False  # log_prob is the log of a probability, not of a density
    parameters_in_raw_units: tuple[str, ...] = ("mean", "scale")

    def initialize(self, head: DecoderHead) -> None:
        """Initialise the head so that p(x|z) starts near the data; by default the layer is not changed."""

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """log p(t), (..., D), nats in model units."""
        raise NotImplementedError

    def mean(self, h: Tensor) -> Tensor:
        """Expected value, (..., D); for a category the index of its most probable level."""
        raise NotImplementedError

    def deviation(self, h: Tensor) -> Tensor:
        """Standard deviation, (..., D); for a category of the indicator of the most probable level."""
        raise NotImplementedError

    def scale(self, h: Tensor) -> Tensor | None:
        """The scale, (..., D); none if the likelihood has no parameter but the mean."""
        return self.deviation(h)

    def extras(self, h: Tensor) -> dict[str, Tensor]:  # noqa: ARG002  most have none, and answer the same call
        """Further parameters by name."""
        return {}

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """A draw, (..., D), from standard normals (..., D, 2)."""
        raise NotImplementedError


class Scale(nn.Module):
    """Scale s > 0 of D columns: from the network, one per column, one for all, or fixed; learned scales are >= floor.

    Members may differ: some take it from the network, others have one per column.
    """

    floor: Tensor  # (D,), or (M, 1, 1, D) if members have different floors
    fixed: Tensor  # (D,)
    heard: Tensor  # (M, 1, 1, 1), 1 for members that take it from the network, else 0

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
        """s, to be broadcast to (..., D); raw (..., D) is used if the scale is the network's."""
        if self.kind == "fixed":
            return self.fixed
        if self.kind == "by member":
            return self.floor + softplus(self.heard * raw + self.raw_scale)
        return self.floor + softplus(raw if self.from_network else self.raw_scale)


def parameter_shape(size: int, members: int | None) -> tuple[int, ...]:
    """Shape of a learned parameter outside the network: (size,), or (M, 1, 1, size) against (M, N, K, D)."""
    return (size,) if members is None else (members, 1, 1, size)
