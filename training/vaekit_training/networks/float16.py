"""A network that computes in float16 without overflow."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from vaekit_training.networks.layers import MATRICES, MemberLayerNorm, MemberLinear, Residual

LARGEST = 3e4  # largest sum of products, weight or summand: the sum of two is below 65504, float16's largest number
GROWING = (nn.LayerNorm, MemberLayerNorm, Residual)  # not matrices; their output may exceed their input


class Float16Network(nn.Module):
    """The network with weights and activations in float16; a layer's input is cut so that no sum overflows.

        |sum_i w_oi x_i| <= LARGEST   since   |x_i| <= LARGEST / max_o sum_i |w_oi|,   in any order of summation

    Any encoder gives a bound, and any decoder a density: a novel row whose activations are cut still gets a finite
    score. `.double()` turns this into a network with the rounded weights and no other rounding.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()
        for layer in self.network.modules():
            if isinstance(layer, MATRICES):
                layer.register_forward_pre_hook(_Cut(LARGEST / max(1.0, largest_sum(layer))))
            elif isinstance(layer, GROWING):
                layer.register_forward_hook(_cut)

    def forward(self, x: Tensor) -> Tensor:
        """The output of the network, for x of any type."""
        some = next(self.network.parameters())
        out: Tensor = self.network(x.clamp(-LARGEST, LARGEST).to(some.dtype))
        return out


def largest_sum(layer: nn.Module) -> float:
    """max_o sum_i |w_oi| over all inputs that an output of the layer sums."""
    weight: Tensor = layer.weight.detach().double().abs()  # type: ignore[operator]  # all matrices have one
    output = {nn.ConvTranspose2d: 1, MemberLinear: 2}.get(type(layer), 0)  # the axis of outputs
    others = [axis for axis in range(weight.ndim) if axis != output]
    if isinstance(layer, MemberLinear):
        others.remove(0)  # members are not summed
    return float(weight.sum(dim=others).max())


class _Cut:
    """A hook that cuts a layer's input."""

    def __init__(self, most: float) -> None:
        self.most = most

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0].clamp(-self.most, self.most),)


def _cut(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:  # noqa: ARG001  the shape of a hook
    return out.clamp(-LARGEST, LARGEST)
