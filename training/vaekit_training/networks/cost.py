"""Counts the parameters and the floating-point operations of a network, layer by layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vaekit_training.networks.layers import MATRICES, MemberLinear


@dataclass(frozen=True)
class Cost:
    """Cost of one row, or in a decoder of one latent vector, over all members."""

    parameters: int
    multiply_adds: int  # in matrices and convolutions, padding included; without biases, norms and activations
    widest: int  # number of values in the largest output of a layer, which determines the memory per row

    @property
    def flops(self) -> int:
        """Floating-point operations: two per multiply-add."""
        return 2 * self.multiply_adds


def total_cost(costs: Sequence[Cost]) -> Cost:
    """Cost of networks that run one after another: sums, and the largest of the widest layers."""
    return Cost(
        sum(each.parameters for each in costs),
        sum(each.multiply_adds for each in costs),
        max(each.widest for each in costs),
    )


def cost(network: nn.Module) -> Cost:
    """Parameters, multiply-adds and widest layer of an encoder or decoder, measured with one row of zeros."""
    counted = _Counted()
    hooks = [layer.register_forward_hook(counted) for layer in network.modules()]
    some = next(network.parameters())
    try:
        with torch.no_grad():
            network(torch.zeros(1, int(network.inputs), dtype=some.dtype, device=some.device))  # type: ignore[arg-type]  # every network has inputs
    finally:
        for hook in hooks:
            hook.remove()
    return Cost(sum(p.numel() for p in network.parameters()), counted.multiply_adds, counted.widest)


class _Counted:
    """A forward hook that adds up the cost of layers."""

    def __init__(self) -> None:
        self.multiply_adds = self.widest = 0

    def __call__(self, layer: nn.Module, inputs: tuple[Any, ...], out: Tensor) -> None:
        self.widest = max(self.widest, out.numel())
        if isinstance(layer, MATRICES):
            self.multiply_adds += _multiply_adds(layer, inputs[0], out)


def _multiply_adds(layer: nn.Module, x: Tensor, out: Tensor) -> int:
    """Multiply-adds of a layer for one row, with input x (1, ...) or (M, 1, ...) and output `out`."""
    if isinstance(layer, nn.Conv2d):  # each output sums in_channels * kernel inputs
        return out.numel() * layer.in_channels * math.prod(layer.kernel_size)
    if isinstance(layer, nn.ConvTranspose2d):  # each input contributes to out_channels * kernel outputs
        return x.numel() * layer.out_channels * math.prod(layer.kernel_size)
    assert isinstance(layer, nn.Linear | MemberLinear)
    return out.numel() * layer.in_features
