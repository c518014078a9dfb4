"""A network that computes in float16 and never overflows."""

from __future__ import annotations

import copy

from torch import Tensor, nn

from vaekit_training.networks.layers import MATRICES, MemberLayerNorm, MemberLinear, Residual

LARGEST = 3e4  # of products' sums, of weights and of what is added: two of them are below 65504, where float16 ends
GROWING = (nn.LayerNorm, MemberLayerNorm, Residual)  # layers beside matrices that may give more than they are given


class Float16Network(nn.Module):
    """The network with weights and activations in float16; what goes into a layer is cut so far that none overflows.

        |sum_i w_oi x_i| <= LARGEST   since   |x_i| <= LARGEST / max_o sum_i |w_oi|,   in any order of summation

    Any encoder gives a bound, and any decoder a density: a row far out, whose activations are cut, has the finite score
    that every finite row is owed. `.double()` makes of this what the rounded weights give if nothing else is rounded.
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
        """As the network, for x of any type."""
        some = next(self.network.parameters())
        out: Tensor = self.network(x.clamp(-LARGEST, LARGEST).to(some.dtype))
        return out


def largest_sum(layer: nn.Module) -> float:
    """max_o sum_i |w_oi| over everything that an output of the layer is a sum of."""
    weight: Tensor = layer.weight.detach().double().abs()  # type: ignore[operator]  # all matrices have one
    output = {nn.ConvTranspose2d: 1, MemberLinear: 2}.get(type(layer), 0)  # the axis of outputs
    others = [axis for axis in range(weight.ndim) if axis != output]
    if isinstance(layer, MemberLinear):
        others.remove(0)  # members are not summed
    return float(weight.sum(dim=others).max())


class _Cut:
    """A hook that cuts what goes in."""

    def __init__(self, most: float) -> None:
        self.most = most

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (inputs[0].clamp(-self.most, self.most),)


def _cut(_: nn.Module, inputs: tuple[Tensor, ...], out: Tensor) -> Tensor:  # noqa: ARG001  the shape of a hook
    return out.clamp(-LARGEST, LARGEST)
