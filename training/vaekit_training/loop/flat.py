"""All parameters of a module as views of one tensor, and their gradients of another.

A step of a small network costs as much as it has operations: one for all parameters costs less than one for each.
M members, P places for each member's parameters.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

ALIGNED = 16  # float32 in 64 bytes: where a parameter may begin, so that no kernel takes a slower path


class Flat:
    """The parameters of a module as columns of `weights` (M, P), their gradients as those of `gradient` (M, P).

    Places between parameters are 0 and stay 0. The first `decayed` columns are those that weight decay is for.
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
        self._across = None if members == 1 else 1  # a norm of everything is quicker than one of the only row
        self._is_one = members == 1
        self._views: list[Tensor] = []  # of the gradient, one for each parameter
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
        """Let the next backward pass begin at 0."""
        if self._is_one:
            self.gradient.zero_()
            return
        for parameter in self._parameters:
            parameter.grad = None  # a view with gaps between members is no place for autograd to add to

    def gather(self) -> None:
        """Have what backward passes left in the flat gradient."""
        if self._is_one:
            return
        found = [(v, p.grad) for v, p in zip(self._views, self._parameters, strict=True) if p.grad is not None]
        torch._foreach_copy_([view for view, _ in found], [gradient for _, gradient in found])

    def norm(self) -> Tensor:
        """Of each member's gradient, (M, 1)."""
        return torch.linalg.vector_norm(self.gradient, dim=self._across, keepdim=True)

    def shorten(self, norm: Tensor, longest: float) -> Tensor | None:
        """Shorten each member's gradient to this norm where it is longer; or say what it is to be divided by, ()."""
        divisor = (norm / longest).clamp_min_(1.0)  # (M, 1)
        if len(norm) == 1:
            return divisor.view(())  # who takes the step divides anyhow
        self.gradient.div_(divisor)
        return None

    def decay(self, share: float | Tensor) -> None:
        """Shrink what weight decay is for by this share of itself."""
        self._decayed.mul_(1.0 - share)

    def release(self) -> None:
        """Give each parameter memory of its own again, and no gradient."""
        for parameter in self._parameters:
            parameter.data, parameter.grad = parameter.data.clone(memory_format=torch.contiguous_format), None

    def _view(self, whole: Tensor, place: slice, parameter: nn.Parameter) -> Tensor:
        members = len(whole)
        columns = whole[:, place]
        return columns.view(parameter.shape) if members == 1 else columns.view(members, *parameter.shape[1:])


def _padded(width: int) -> int:
    return -(-width // ALIGNED) * ALIGNED
