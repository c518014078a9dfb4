"""All parameters of a module as views of one tensor, and their gradients as views of another.

The cost of a small network's step is the number of operations: one for all parameters is cheaper than one for each.
M members, P values per member, padding included.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

ALIGNED = 16  # float32 values in 64 bytes: parameters start at multiples of it, so that kernels take their fast path


class Flat:
    """The parameters of a module as columns of `weights` (M, P), their gradients as those of `gradient` (M, P).

    Padding between parameters is and stays 0. Weight decay applies to the first `decayed` columns.
    """

    def __init__(self, module: nn.Module, decayed: Iterable[nn.Parameter], members: int = 1) -> None:
        """members: M; above 1 every parameter's first axis is M."""
        first = {id(p) for p in decayed}
        self._parameters = sorted(module.parameters(), key=lambda p: id(p) not in first)
        widths = [_padded(p.numel() // members) for p in self._parameters]
        self.decayed = sum(w for p, w in zip(self._parameters, widths, strict=True) if id(p) in first)
        one = self._parameters[0]
        self.weights = nn.Parameter(torch.zeros(members, sum(widths), dtype=one.dtype, device=one.device))
        self.gradient = torch.zeros_like(self.weights.data)
        self.weights.grad = self.gradient
        self._decayed = self.weights.data[:, : self.decayed]
        self._across = None if members == 1 else 1  # for a single row, the norm of the whole tensor is faster
        self._is_one = members == 1
        self._views: list[Tensor] = []  # views of the gradient, one per parameter
        start = 0
        for parameter, width in zip(self._parameters, widths, strict=True):
            place = slice(start, start + parameter.numel() // members)
            view = self._view(self.weights.data, place, parameter)
            view.copy_(parameter.data)
            parameter.data = view
            self._views.append(self._view(self.gradient, place, parameter))
            parameter.grad = self._views[-1] if self._is_one else None
            start += width

    def forget(self) -> None:
        """Let the next backward pass start from 0."""
        if self._is_one:
            self.gradient.zero_()
            return
        for parameter in self._parameters:
            parameter.grad = None  # autograd cannot add to a view with gaps between members

    def gather(self) -> None:
        """Copy the gradients of the backward passes to the flat gradient."""
        if self._is_one:
            return
        found = [(v, p.grad) for v, p in zip(self._views, self._parameters, strict=True) if p.grad is not None]
        torch._foreach_copy_([view for view, _ in found], [gradient for _, gradient in found])

    def norm(self) -> Tensor:
        """Norm of each member's gradient, (M, 1)."""
        return torch.linalg.vector_norm(self.gradient, dim=self._across, keepdim=True)

    def shorten(self, norm: Tensor, longest: float) -> Tensor | None:
        """Clip each member's gradient, of this norm, to `longest`; or return the divisor, (), for the optimiser."""
        divisor = (norm / longest).clamp_min_(1.0)  # (M, 1)
        if len(norm) == 1:
            return divisor.view(())  # the optimiser divides anyway
        self.gradient.div_(divisor)
        return None

    def decay(self, share: float | Tensor) -> None:
        """Shrink the decayed weights by this share of themselves."""
        self._decayed.mul_(1.0 - share)

    def release(self) -> None:
        """Give each parameter its own memory again, and no gradient."""
        for parameter in self._parameters:
            parameter.data, parameter.grad = parameter.data.clone(memory_format=torch.contiguous_format), None

    def _view(self, whole: Tensor, place: slice, parameter: nn.Parameter) -> Tensor:
        members = len(whole)
        columns = whole[:, place]
        return columns.view(parameter.shape) if members == 1 else columns.view(members, *parameter.shape[1:])


def _padded(width: int) -> int:
    return -(-width // ALIGNED) * ALIGNED
