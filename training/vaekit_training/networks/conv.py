"""Convolutional networks for images, plain and residual.

An encoder takes flattened images (N, H W C), in the order H, W, C. A decoder returns P parameters of each pixel and
channel, [P, H, W, C] flattened. There is no batch normalisation, so a row's result does not depend on its batch.

N rows, K draws, Z latent dimensions, H x W pixels, C channels, P parameters of the likelihood.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TypeVar

from torch import Tensor, nn

from vaekit_training.networks.head import Head, ImageHead
from vaekit_training.networks.layers import ACTIVATIONS, Residual

Shape = tuple[int, int, int]  # H, W, C
Convolution = TypeVar("Convolution", bound=nn.Conv2d | nn.ConvTranspose2d)


class ConvEncoder(nn.Module):
    """Stages that halve the sides, (H, W) -> (ceil(H / 2), ceil(W / 2)), then one Linear layer.

    The first layer pads with repeated edge pixels instead of zeros. Therefore it can absorb any affine rescaling of the
    channels exactly, also at the edges.
    """

    def __init__(self, shape: Shape, channels: Sequence[int], outputs: int, activation: str, blocks: int = 0) -> None:
        """channels: of each stage; outputs: values per row; blocks: residual blocks after each halving."""
        super().__init__()
        self.shape, self.inputs, self.outputs = shape, math.prod(shape), outputs
        depth = len(channels) * blocks
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((shape[2], *channels)):
            half = nn.Conv2d(n_in, n_out, 3, stride=2, padding=1, padding_mode="zeros" if layers else "replicate")
            layers += [_start(half, activation)]
            layers += [residual_block(n_out, activation, depth) for _ in range(blocks)]
            layers += [ACTIVATIONS[activation]()]
        height, width = sides(shape, len(channels))[-1]
        self.stages = nn.Sequential(*layers)
        self.linear = nn.Linear(channels[-1] * height * width, outputs)

    @property
    def head(self) -> Head:
        """The last layer, for its initialisation."""
        return Head(self.linear)

    def forward(self, x: Tensor) -> Tensor:
        """(N, H W C) -> (N, outputs)."""
        image = x.unflatten(-1, self.shape).permute(0, 3, 1, 2)  # (N, C, H, W)
        out: Tensor = self.linear(self.stages(image).flatten(1))  # (N, outputs)
        return out


class ConvDecoder(nn.Module):
    """One Linear layer, then stages that double the sides and crop to the side lengths of the encoder's stages."""

    def __init__(
        self, inputs: int, shape: Shape, channels: Sequence[int], outputs: int, activation: str, blocks: int = 0
    ) -> None:
        """channels: of the encoder's stages; outputs: P * H * W * C; blocks: residual blocks before each doubling."""
        super().__init__()
        self.shape, self.inputs, self.outputs = shape, inputs, outputs
        self.sides = sides(shape, len(channels))[::-1]  # smallest first
        self.start = (channels[-1], *self.sides[0])
        self.linear = nn.Linear(inputs, math.prod(self.start))
        planes, left = divmod(outputs, shape[0] * shape[1])  # P C
        assert not left, f"{outputs} outputs are not a multiple of the {shape[0] * shape[1]} pixels of an image"
        up = (*reversed(channels), channels[0] if blocks else planes)
        depth = len(channels) * blocks
        self.stages = nn.ModuleList(_up(a, b, activation, blocks, depth) for a, b in pairwise(up))
        last = [ACTIVATIONS[activation](), nn.Conv2d(up[-1], planes, 3, padding=1)] if blocks else []
        self.last = nn.Sequential(*last)  # empty without blocks: the last stage gives the image
        _start(self.head.layer, None)

    @property
    def head(self) -> ImageHead:
        """The last convolution, for its initialisation."""
        layer = (self.last or self.stages[-1])[-1]  # type: ignore[index]  # each stage is a Sequential
        assert isinstance(layer, nn.Conv2d | nn.ConvTranspose2d)
        return ImageHead(layer, self.shape)

    def forward(self, z: Tensor) -> Tensor:
        """(..., Z) -> (..., P H W C)."""
        h = self.linear(z.flatten(0, -2)).unflatten(-1, self.start)  # (N K, channels, h, w)
        for stage, (height, width) in zip(self.stages, self.sides[1:], strict=True):
            h = stage(h)[..., :height, :width]  # (N K, channels, height, width)
        h = self.last(h).unflatten(1, (-1, self.shape[2])).permute(0, 1, 3, 4, 2)  # (N K, P, H, W, C)
        out: Tensor = h.reshape(*z.shape[:-1], self.outputs)  # (..., P H W C)
        return out


def sides(shape: Shape, stages: int) -> list[tuple[int, int]]:
    """Height and width before and after each stage, largest first."""
    out = [shape[:2]]
    for _ in range(stages):
        out.append(((out[-1][0] + 1) // 2, (out[-1][1] + 1) // 2))
    return out


def residual_block(channels: int, activation: str, depth: int) -> Residual:
    """x + f(x), (N, channels, H, W); f is activation, convolution, activation, convolution.

    The second convolution's initial weights are divided by sqrt(depth). This keeps the variance of the signal from
    growing over `depth` blocks in a row, without normalisation.
    """
    first, second = (_start(nn.Conv2d(channels, channels, 3, padding=1), activation) for _ in range(2))
    second.weight.data.mul_(depth**-0.5)
    return Residual(ACTIVATIONS[activation](), first, ACTIVATIONS[activation](), second)


def _up(n_in: int, n_out: int, activation: str, blocks: int, depth: int) -> nn.Sequential:
    """Residual blocks, then upsampling by 2; with a kernel of 4 every output sums equally many inputs."""
    layers: list[nn.Module] = [residual_block(n_in, activation, depth) for _ in range(blocks)]
    double = _start(nn.ConvTranspose2d(n_in, n_out, 4, stride=2, padding=1), activation)
    return nn.Sequential(*layers, ACTIVATIONS[activation](), double)


def _start(layer: Convolution, activation: str | None) -> Convolution:
    """Initialises weights so that layer and activation keep the variance of a signal, and the bias at 0.

    std = gain / sqrt(fan_in), where fan_in is the number of inputs that each output sums.

    Source: He et al. (2015), "Delving deep into rectifiers".
    """
    fan_in = layer.in_channels * math.prod(layer.kernel_size)
    if isinstance(layer, nn.ConvTranspose2d):
        fan_in //= math.prod(layer.stride)  # a kernel of 4 at stride 2 reaches each output twice per side
    gain = 1.0 if activation is None or activation == "tanh" else math.sqrt(2.0)
    nn.init.normal_(layer.weight, std=gain / math.sqrt(fan_in))
    assert layer.bias is not None
    nn.init.zeros_(layer.bias)
    return layer
