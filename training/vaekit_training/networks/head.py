"""The last layer of a network, through which a likelihood initialises it."""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn


class Head:
    """A Linear last layer with `width` outputs; `weight` is (width, in) and `bias` (width,)."""

    def __init__(self, layer: nn.Module) -> None:
        self.layer = layer

    @property
    def weight(self) -> nn.Parameter:
        """The layer's weight; see the class for its shape."""
        return cast(nn.Parameter, self.layer.weight)

    @property
    def bias(self) -> nn.Parameter:
        """The layer's bias, (..., outputs of the layer)."""
        return cast(nn.Parameter, self.layer.bias)

    @property
    def width(self) -> int:
        """Number of values that a likelihood reads."""
        return self.bias.shape[-1]

    @torch.no_grad()
    def zero_rows(self, rows: slice, value: float | Tensor) -> None:
        """Make these outputs equal to `value` for every input: weights 0, bias `value`.

        Args:
            rows: which of the `width` outputs.
            value: one number for all of them, or one for each, (number of rows,).
        """
        self._by_output()[self._outputs(rows)] = 0.0
        self.set_bias(rows, value)

    @torch.no_grad()
    def set_bias(self, rows: slice, value: float | Tensor) -> None:
        """Set the bias of these outputs to `value`, (), or (number of rows,); their weights do not change."""
        start = torch.as_tensor(value, dtype=self.bias.dtype, device=self.bias.device)
        self.bias[..., self._outputs(rows)] = self._shared(start) if start.ndim else start

    def _by_output(self) -> Tensor:
        """The weights with the output axis first, (outputs, ...)."""
        return self.weight

    def _outputs(self, rows: slice) -> slice:
        """The slice of the layer's output channels that these rows belong to."""
        return rows

    def _shared(self, value: Tensor) -> Tensor:
        """One value for each bias of the layer, from one value for each row."""
        return value


class MemberHead(Head):
    """The last layer of M members: `weight` (M, in, width) and `bias` (M, width)."""

    def _by_output(self) -> Tensor:
        return self.weight.movedim(-1, 0)


class ImageHead(Head):
    """A convolution as the last layer: width is P * H * W * C, [P, H, W, C] flattened; all pixels share weights.

    A slice of rows must cover whole parameters, H W C rows each. Values that differ between pixels are averaged.
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
        values = self.pixels * self.channels  # H W C, the rows of one parameter
        assert step == 1
        assert start % values == stop % values == 0, (
            "a slice of a convolution's outputs must cover all pixels of a parameter"
        )
        return slice(start // self.pixels, stop // self.pixels)

    def _shared(self, value: Tensor) -> Tensor:
        return value.view(-1, self.pixels, self.channels).mean(1).flatten()
