"""Multilayer perceptrons, one or M members at once."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from vaekit_training.networks.head import Head, MemberHead
from vaekit_training.networks.layers import ACTIVATIONS, INPLACE, MemberLayerNorm, MemberLinear, Residual


class MLP(nn.Sequential):
    """Linear layers of these sizes, input first, each but the last followed by its norm (if any) and the activation.

    With `residual` a hidden layer's input is added to its output if their widths are equal.
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
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise(sizes[:-1]):
            hidden = [_linear(members, n_in, n_out), *_norm(members, n_out, layer_norm), _activation(activation)]
            layers += [Residual(*hidden)] if residual and n_in == n_out else hidden
        super().__init__(*layers, _linear(members, sizes[-2], sizes[-1]))
        self.inputs, self.outputs = sizes[0], sizes[-1]

    @property
    def head(self) -> Head:
        """The last layer."""
        return Head(self[-1])

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs); computed as one matrix of rows, so that graphs fuse bias and activation."""
        if x.ndim == 2:
            return self._rows(x)
        return self._rows(x.flatten(0, -2)).unflatten(0, x.shape[:-1])

    def _rows(self, x: Tensor) -> Tensor:
        out: Tensor = super().forward(x)
        return out


class MemberMLP(MLP):
    """M perceptrons of one shape as batched matrices; an input without member axis goes to all of them.

    x (N, E) -> (M, N, outputs);  z (N, K, Z) or (M, N, K, Z) -> (M, N, K, outputs).
    """

    @property
    def head(self) -> MemberHead:
        return MemberHead(self[-1])

    def forward(self, x: Tensor) -> Tensor:
        of_members = x.ndim == 4
        between = x.shape[1:-1] if of_members else x.shape[:-1]  # (N,) or (N, K)
        rows = x.flatten(1, -2) if of_members else x.flatten(0, -2)[None]  # (M, R, .) or (1, R, .)
        out = self._rows(rows)  # (M, R, outputs)
        return out.unflatten(1, between) if len(between) > 1 else out


def mlp(sizes: Sequence[int], activation: str) -> MLP:
    """A plain perceptron of these sizes, input first."""
    return MLP(sizes, activation)


def _linear(members: int, n_in: int, n_out: int) -> nn.Module:
    return nn.Linear(n_in, n_out) if members == 1 else MemberLinear(members, n_in, n_out)


def _activation(name: str) -> nn.Module:
    """An activation, in place where possible: nothing else reads its input."""
    return ACTIVATIONS[name](inplace=True) if name in INPLACE else ACTIVATIONS[name]()


def _norm(members: int, width: int, wanted: bool) -> list[nn.Module]:
    if not wanted:
        return []
    return [nn.LayerNorm(width) if members == 1 else MemberLayerNorm(members, width)]
