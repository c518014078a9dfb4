"""What every likelihood answers, and how a scale is had.

t are rows in model units, broadcast against the decoder's raw outputs h (..., width); h lists the first parameter of
all D columns, then the second, and so on. With M members h is (M, N, K, width).
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor, nn

from vaekit_training.functional import softplus, softplus_inverse

ScaleKind = str | float | tuple[str, ...]  # as likelihood.scale of a config
LARGEST_RESIDUAL = 1e9  # residuals, in scales, are cut here, so that every finite row has a finite density


class DecoderHead(Protocol):
    """The decoder's last layer, or the part of it that one likelihood reads."""

    def zero_rows(self, rows: slice, value: float | Tensor) -> None:
        """Let these outputs be `value` whatever z is."""
        ...

    def set_bias(self, rows: slice, value: float | Tensor) -> None:
        """Let these outputs start around `value`."""
        ...


class Likelihood(nn.Module):
    """p(x|z) over D columns."""

    dim: int
    width: int  # raw outputs it takes of the decoder
    mass: bool = False  # log_prob is the log of a probability, not of a density
    parameters_in_raw_units: tuple[str, ...] = ("mean", "scale")

    def initialize(self, head: DecoderHead) -> None:
        """Let the head start where the data stand; the layer's own start unless a likelihood says better."""

    def log_prob(self, t: Tensor, h: Tensor) -> Tensor:
        """log p(t), (..., D), nats in model units."""
        raise NotImplementedError

    def mean(self, h: Tensor) -> Tensor:
        """Where the value is expected, (..., D); of a category the index of its most probable level."""
        raise NotImplementedError

    def deviation(self, h: Tensor) -> Tensor:
        """Standard deviation, (..., D); of a category that of "is it the most probable level?"."""
        raise NotImplementedError

    def scale(self, h: Tensor) -> Tensor | None:
        """The scale, (..., D); none where the mean says it all."""
        return self.deviation(h)

    def extras(self, h: Tensor) -> dict[str, Tensor]:  # noqa: ARG002  most have none, and answer the same call
        """Further parameters by name."""
        return {}

    def observe(self, h: Tensor, noise: Tensor) -> Tensor:
        """A draw, (..., D), from standard normals (..., D, 2)."""
        raise NotImplementedError


class Scale(nn.Module):
    """s > 0 of D columns: from the network, one for each, one for all, or a fixed number; learned ones >= floor.

    Members may have it from the network or one for each column, each as it is told.
    """

    floor: Tensor  # (D,), or (M, 1, 1, D) where members have floors of their own
    fixed: Tensor  # (D,)
    heard: Tensor  # (M, 1, 1, 1), 1 of members that have it from the network, 0 of the others

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
        """s, to be broadcast to (..., D); raw (..., D) counts where the network gives it."""
        if self.kind == "fixed":
            return self.fixed
        if self.kind == "by member":
            return self.floor + softplus(self.heard * raw + self.raw_scale)
        return self.floor + softplus(raw if self.from_network else self.raw_scale)


def parameter_shape(size: int, members: int | None) -> tuple[int, ...]:
    """Shape of a learned parameter that is not the network's: (size,), or (M, 1, 1, size) against (M, N, K, D)."""
    return (size,) if members is None else (members, 1, 1, size)
