"""Layers: activations, residual connections, and layers that compute M members at once.

M members, R rows (or rows times draws), W units.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ACTIVATIONS: dict[str, type[nn.Module]] = {
    "leaky_relu": nn.LeakyReLU,
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    "silu": nn.SiLU,
    "gelu": nn.GELU,
}
INPLACE = ("leaky_relu", "relu")  # may overwrite their input, because their gradient needs only the output


class MemberLinear(nn.Module):
    """y_m = x_m W_m + b_m for M members at once: weight (M, in, out), bias (M, out).

    Every member is initialised like nn.Linear: U(-a, a) with a = 1 / sqrt(in). W_m is the transpose of nn.Linear's
    weight. This is the memory layout of a batched product's gradient, which saves a copy.
    """

    def __init__(self, members: int, in_features: int, out_features: int) -> None:
        super().__init__()
        bound = in_features**-0.5
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(members, in_features, out_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, out_features).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """x (M, R, in), or (1, R, in) shared by all members -> (M, R, out)."""
        return torch.baddbmm(self.bias[:, None], x.expand(len(self.weight), -1, -1), self.weight)


class MemberLayerNorm(nn.Module):
    """weight_m (x - mean) / sqrt(variance + 1e-5) + bias_m, with mean and variance over the W units of a row."""

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, width))
        self.bias = nn.Parameter(torch.zeros(members, width))

    def forward(self, x: Tensor) -> Tensor:
        """x (M, R, W) -> (M, R, W)."""
        return F.layer_norm(x, x.shape[-1:]) * self.weight[:, None] + self.bias[:, None]


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        """x (..., W) -> (..., W)."""
        return x + self.layers(x)


MATRICES = (nn.Linear, MemberLinear, nn.Conv2d, nn.ConvTranspose2d)


def decayed(network: nn.Module) -> Iterator[nn.Parameter]:
    """The parameters that weight decay applies to: matrices and kernels, not biases or normalisation weights.

    They are found by layer type and not by the number of axes, because a bias of M members has two, (M, out).
    """
    for layer in network.modules():
        if isinstance(layer, MATRICES):
            yield cast(nn.Parameter, layer.weight)
