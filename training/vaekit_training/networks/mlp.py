"""Multilayer perceptrons: a single one, or M members at once.

N rows, K draws, E inputs of the encoder, Z latent dimensions, M members, R rows (or rows times draws).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from vaekit_training.networks.head import Head, MemberHead
from vaekit_training.networks.layers import ACTIVATIONS, INPLACE, MemberLayerNorm, MemberLinear, Residual


class MLP(nn.Sequential):
    """h_l = activation(norm(W_l h_{l-1} + b_l)) for the hidden layers, and a last layer W_L h_{L-1} + b_L.

    The norm is optional. With `residual`, h_{l-1} is added to h_l where both have the same width.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        activation: str = "leaky_relu",
        *,
        residual: bool = False,
        layer_norm: bool = False,
        members: int = 1,
    ) -> None:
        """sizes: number of inputs, then of outputs of each layer."""
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes[:-1]):
            hidden = [_linear(members, n_in, n_out), *_norm(members, n_out, layer_norm), _activation(activation)]
            layers += [Residual(*hidden)] if residual and n_in == n_out else hidden
        super().__init__(*layers, _linear(members, sizes[-2], sizes[-1]))
        self.inputs, self.outputs = sizes[0], sizes[-1]

    @property
    def head(self) -> Head:
        """The last layer, for its initialisation."""
        return Head(self[-1])

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs) -> (..., outputs).

        Leading axes are flattened to one, so that ONNX Runtime can fuse bias and activation.
        """
        if x.ndim == 2:
            return self._rows(x)
        return self._rows(x.flatten(0, -2)).unflatten(0, x.shape[:-1])

    def _rows(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x)
        return out


class MemberMLP(MLP):
    """M perceptrons of the same sizes, computed as batched matrix products.

    An input without a member axis goes to all members: x (N, E) -> (M, N, outputs) and z (N, K, Z) -> (M, N, K,
    outputs). An input with one is split by member: z (M, N, K, Z) -> (M, N, K, outputs).
    """

    @property
    def head(self) -> MemberHead:
        """The last layer, for its initialisation."""
        return MemberHead(self[-1])

    def forward(self, x: Tensor) -> Tensor:
        """x (N, E) -> (M, N, outputs), or z (N, K, Z) or (M, N, K, Z) -> (M, N, K, outputs)."""
        of_members = x.ndim == 4
        between = x.shape[1:-1] if of_members else x.shape[:-1]  # (N,) or (N, K)
        rows = x.flatten(1, -2) if of_members else x.flatten(0, -2)[None]  # (M, R, .) or (1, R, .)
        out = self._rows(rows)  # (M, R, outputs)
        return out.unflatten(1, between) if len(between) > 1 else out  # (M, N, K, outputs) or (M, N, outputs)


def mlp(sizes: Sequence[int], activation: str) -> MLP:
    """A perceptron without norms and residual connections; sizes: number of inputs, then of outputs of each layer."""
    return MLP(sizes, activation)


def _linear(members: int, n_in: int, n_out: int) -> nn.Module:
    return nn.Linear(n_in, n_out) if members == 1 else MemberLinear(members, n_in, n_out)


def _activation(name: str) -> nn.Module:
    """An activation, in place if its gradient allows it: no other layer reads its input."""
    return ACTIVATIONS[name](inplace=True) if name in INPLACE else ACTIVATIONS[name]()


def _norm(members: int, width: int, wanted: bool) -> list[nn.Module]:
    if not wanted:
        return []
    return [nn.LayerNorm(width) if members == 1 else MemberLayerNorm(members, width)]
