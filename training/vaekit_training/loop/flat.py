"""All parameters of a module as views of one tensor, and their gradients as views of another one.

The time of a small network's step is proportional to the number of operations. One operation on all parameters is
therefore faster than one per parameter.

M members, P values per member, padding included.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor, nn

ALIGNED = 16  # parameters start at multiples of 16 float32 values, 64 bytes, which fast kernels require


class Flat:
    """The parameters of a module as columns of `weights` (M, P), their gradients as those of `gradient` (M, P).

    Padding between parameters is always 0. Weight decay applies to the first `decayed` columns.
    """

    def __init__(self, module: nn.Module, decayed: Iterable[nn.Parameter], members: int = 1) -> None:
        """decayed: parameters with weight decay. members: M; if above 1, the first axis of every parameter is M."""
        first = {id(p) for p in decayed}
        self._parameters = sorted(module.parameters(), key=lambda p: id(p) not in first)
        widths = [_padded(p.numel() // members) for p in self._parameters]
        self.decayed = sum(w for p, w in zip(self._parameters, widths, strict=True) if id(p) in first)
        one = self._parameters[0]
        self.weights = nn.Parameter(torch.zeros(members, sum(widths), dtype=one.dtype, device=one.device))
        self.gradient = torch.zeros_like(self.weights.data)
        self.weights.grad = self.gradient
        self._decayed = self.weights.data[:, : self.decayed]
        self._across = None if members == 1 else 1  # with one member, the norm over the whole tensor is faster
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

    def zero_grad(self) -> None:
        """Reset the gradients before a backward pass."""
        if self._is_one:
            self.gradient.zero_()
            return
        for parameter in self._parameters:
            parameter.grad = None  # autograd cannot accumulate in a view with gaps between members

    def gather(self) -> None:
        """Copy the gradients that the backward passes computed to `gradient`, where they are not there already."""
        if self._is_one:
            return
        found = [(v, p.grad) for v, p in zip(self._views, self._parameters, strict=True) if p.grad is not None]
        torch._foreach_copy_([view for view, _ in found], [gradient for _, gradient in found])

    def norm(self) -> Tensor:
        """Euclidean norm of each member's gradient, (M, 1)."""
        return torch.linalg.vector_norm(self.gradient, dim=self._across, keepdim=True)

    def clip(self, norm: Tensor, longest: float) -> Tensor | None:
        """Scale down each member's gradient to a norm of at most `longest`.

        Args:
            norm: of the gradient, (M, 1).
            longest: the largest norm allowed.

        Returns:
            With one member the gradient is not changed, and the result is the divisor max(1, norm / longest), (), that
            the optimiser must apply. Otherwise None.
        """
        divisor = (norm / longest).clamp_min_(1.0)  # (M, 1)
        if len(norm) == 1:
            return divisor.view(())  # the optimiser applies it without an extra pass
        self.gradient.div_(divisor)
        return None

    def decay(self, share: float | Tensor) -> None:
        """w = (1 - share) w for the weights to which weight decay applies."""
        self._decayed.mul_(1.0 - share)

    def release(self) -> None:
        """Give each parameter its own memory again, and remove its gradient."""
        for parameter in self._parameters:
            parameter.data, parameter.grad = parameter.data.clone(memory_format=torch.contiguous_format), None

    def _view(self, whole: Tensor, place: slice, parameter: nn.Parameter) -> Tensor:
        """The columns `place` of whole (M, P), in the parameter's shape."""
        members = len(whole)
        columns = whole[:, place]
        return columns.view(parameter.shape) if members == 1 else columns.view(members, *parameter.shape[1:])


def _padded(width: int) -> int:
    return -(-width // ALIGNED) * ALIGNED
