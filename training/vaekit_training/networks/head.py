"""The last layer of a network, which a likelihood initialises."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class Head:
    """The last layer, a Linear: `width` outputs, one row of weights and one bias each.

    `weight` (width, in) and `bias` (width,) may also be used directly.
    """

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    @property
    def weight(self) -> nn.Parameter:
        """The layer's weight."""
        return cast(nn.Parameter, self.layer.weight)

    @property
    def bias(self) -> nn.Parameter:
        """The layer's bias, (..., outputs of the layer)."""
        return cast(nn.Parameter, self.layer.bias)

    @property
    def width(self) -> int:
        """Number of outputs, as likelihoods count them."""
        return self.bias.shape[-1]

    @torch.no_grad()
    def zero_rows(self, rows: slice, value: float | Tensor) -> None:
        """Fix these outputs at `value` for every input: weights 0, bias `value`.

        Args:
            rows: a slice of the width.
            value: one for all rows, or one for each.
        """
        self._by_output()[self._outputs(rows)] = 0.0
        self.set_bias(rows, value)

    @torch.no_grad()
    def set_bias(self, rows: slice, value: float | Tensor) -> None:
        """Start these outputs near `value`; their weights do not change."""
        start = torch.as_tensor(value, dtype=self.bias.dtype, device=self.bias.device)
        self.bias[..., self._outputs(rows)] = self._shared(start) if start.ndim else start

    def _by_output(self) -> Tensor:
        """The weights with the axis of outputs first."""
        return self.weight

    def _outputs(self, rows: slice) -> slice:
        """The layer's outputs for these rows."""
        return rows

    def _shared(self, value: Tensor) -> Tensor:
        """One value for each bias, from one value for each row."""
        return value


class MemberHead(Head):
    """The last layer of M members: `weight` (M, in, width) and `bias` (M, width)."""

    def _by_output(self) -> Tensor:
        return self.weight.movedim(-1, 0)


class PictureHead(Head):
    """The last convolution: width P * H * W * C, [P, H, W, C] flattened; its H W pixels share weights and a bias.

    Rows must be whole parameters; values that differ between pixels are averaged.
    """

    layer: nn.Conv2d | nn.ConvTranspose2d

    def __init__(self, layer: nn.Conv2d | nn.ConvTranspose2d, shape: tuple[int, int, int]) -> None:
        super().__init__(layer)
        height, width, self.channels = shape
        self.pixels = height * width

    @property
    def width(self) -> int:
        return self.bias.shape[-1] * self.pixels

    def _by_output(self) -> Tensor:
        return self.weight.movedim(1, 0) if isinstance(self.layer, nn.ConvTranspose2d) else self.weight

    def _outputs(self, rows: slice) -> slice:
        start, stop, step = rows.indices(self.width)
        values = self.pixels * self.channels  # per parameter
        assert step == 1
        assert start % values == stop % values == 0, "a convolution's pixels share their parameters"
        return slice(start // self.pixels, stop // self.pixels)

    def _shared(self, value: Tensor) -> Tensor:
        return value.view(-1, self.pixels, self.channels).mean(1).flatten()
