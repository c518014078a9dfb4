"""A network that computes in float16 without overflow."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from vaekit_training.networks.layers import MATRICES, MemberLayerNorm, MemberLinear, Residual

LARGEST = 3e4  # limit of sums, weights and summands: the sum of two stays below 65504, the largest float16
GROWING = (nn.LayerNorm, MemberLayerNorm, Residual)  # other layers whose output may exceed their input


class Float16Network(nn.Module):
    """A network with weights and activations in float16. Each layer's input is clamped so that no sum overflows.

        |x_i| <= LARGEST / max_o sum_i |w_oi|   implies   |sum_i w_oi x_i| <= LARGEST,   in any order of summation

    A novel row whose activations are clamped still gets a valid finite score, because any encoder gives a bound and any
    decoder a density. `.double()` gives a network with the rounded weights that computes in float64.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = copy.deepcopy(network).half()
        for layer in self.network.modules():
            if isinstance(layer, MATRICES):
                layer.register_forward_pre_hook(_ClampInput(LARGEST / max(1.0, largest_sum(layer))))
            elif isinstance(layer, GROWING):
                layer.register_forward_hook(_clamp_output)

    def forward(self, x: Tensor) -> Tensor:
        """The output of the network in float16, for x of any floating-point type and the shapes of the network."""
        some = next(self.network.parameters())
        out: Tensor = self.network(x.clamp(-LARGEST, LARGEST).to(some.dtype))
        return out


def largest_sum(layer: nn.Module) -> float:
    """max_o sum_i |w_oi|, where i runs over all inputs that the output o of the layer sums."""
    weight: Tensor = layer.weight.detach().double().abs()  # type: ignore[operator]  # all matrices have one
    output = {nn.ConvTranspose2d: 1, MemberLinear: 2}.get(type(layer), 0)  # the axis of outputs
    others = [axis for axis in range(weight.ndim) if axis != output]
    if isinstance(layer, MemberLinear):
        others.remove(0)  # members are not summed
    return float(weight.sum(dim=others).max())


class _ClampInput:
    """A hook that clamps a layer's input to [-most, most]."""

    def __init__(self, most: float) -> None:
        self.most = most

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0].clamp(-self.most, self.most),)


def _clamp_output(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:  # noqa: ARG001  the shape of a hook
    return out.clamp(-LARGEST, LARGEST)
