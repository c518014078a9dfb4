"""Single layers: activations, and layers of M members at once."""

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
INPLACE = ("leaky_relu", "relu")  # gradients that need only the output


class MemberLinear(nn.Module):
    """y_m = x_m W_m + b_m for M members at once: weight (M, in, out), bias (M, out).

    Every member starts like nn.Linear: U(-a, a) with a = 1 / sqrt(in). Its matrices are transposed against nn.Linear,
    in the order of a batched product's gradient, which saves a copy.
    """

    def __init__(self, members: int, in_features: int, out_features: int) -> None:
        super().__init__()
        bound = in_features**-0.5
        self.in_features, self.out_features = in_features, out_features
        self.weight = nn.Parameter(torch.empty(members, in_features, out_features).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(members, out_features).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        """(M, R, in), or (1, R, in) for all members -> (M, R, out)."""
        return torch.baddbmm(self.bias[:, None], x.expand(len(self.weight), -1, -1), self.weight)


class MemberLayerNorm(nn.Module):
    """(x - mean) / sqrt(variance + 1e-5) over a row's units, then each member's own weight (M, W) and bias (M, W)."""

    def __init__(self, members: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(members, width))
        self.bias = nn.Parameter(torch.zeros(members, width))

    def forward(self, x: Tensor) -> Tensor:
        """(M, R, W) -> (M, R, W)."""
        return F.layer_norm(x, x.shape[-1:]) * self.weight[:, None] + self.bias[:, None]


class Residual(nn.Module):
    """x + f(x)."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


MATRICES = (nn.Linear, MemberLinear, nn.Conv2d, nn.ConvTranspose2d)


def decayed(network: nn.Module) -> Iterator[nn.Parameter]:
    """The weights to which weight decay applies: those that multiply activations; no biases and no normalisation.

    The number of axes does not tell them apart: a bias of M members is (M, out).
    """
    for layer in network.modules():
        if isinstance(layer, MATRICES):
            yield cast(nn.Parameter, layer.weight)
