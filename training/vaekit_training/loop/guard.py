"""Checks that every step was finite, and names the worst rows of a step that was not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor

from vaekit_training.data.batch import NetworkRows
from vaekit_training.loop.distributed import World

NAMED = 5  # number of rows listed in a message
BLOCK = 256  # number of steps for which memory is allocated at once


@dataclass(frozen=True)
class BadStep:
    """A step that was not finite, and the reason."""

    step: int
    reason: str


class Series:
    """Small tensors of one shape, one per step, copied to blocks of memory.

    Without the copies, each of them would stay allocated between the large tensors of its step. This fragments the
    heap, which would grow by tens of kilobytes per step until the next validation.
    """

    def __init__(self) -> None:
        self._places: list[Tensor] = []
        self._count = 0

    def append(self, value: Tensor) -> None:
        """Add a copy of a tensor."""
        if self._count == len(self._places):
            block = torch.empty((BLOCK, *value.shape), dtype=value.dtype, device=value.device)
            self._places += block.unbind(0)
        self._places[self._count].copy_(value)
        self._count += 1

    def clear(self) -> None:
        """Remove all tensors, and keep the memory."""
        self._count = 0

    def values(self) -> list[Tensor]:
        """The tensors, in the order in which they were added."""
        return self._places[: self._count]

    def replace(self, values: list[Tensor]) -> None:
        """Replace all tensors by copies of these."""
        self._places, self._count = [], 0
        for value in values:
            self.append(value)


class StepRecord:
    """Losses, gradient norms and log Jacobians of the steps since the last validation; kept on the device."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._losses = Series()  # this rank's share of each loss, ()
        self._norms = Series()  # (M, 1)
        self._jacobians = Series()  # mean over the global batch, ()

    def add(self, loss: Tensor, norm: Tensor, jacobian: Tensor) -> None:
        """Add a step: its loss (), gradient norm (M, 1) and mean log Jacobian ()."""
        self._losses.append(loss)
        self._norms.append(norm)
        self._jacobians.append(jacobian)

    def clear(self) -> None:
        """Remove all steps."""
        for kept in (self._losses, self._norms, self._jacobians):
            kept.clear()

    def objective(self) -> float:
        """Mean over the steps of the global loss, in nats and raw units; all ranks must call this."""
        jacobian = torch.stack(self._jacobians.values()).double().mean()
        return float(self._global_losses().mean() - jacobian)

    def first_bad(self, last: int, *, norms: bool) -> BadStep | None:
        """The first step that was not finite; all ranks must call this.

        last: number of the last step recorded. norms: whether to check gradient norms too.
        """
        if not self._losses.values():
            return None
        losses = self._global_losses().tolist()
        longest = torch.stack(self._norms.values()).flatten(1).amax(1).tolist()
        for step, loss, norm in zip(range(last - len(losses) + 1, last + 1), losses, longest, strict=True):
            if not math.isfinite(loss):
                return BadStep(step, f"the loss is {loss}")
            if norms and not math.isfinite(norm):
                return BadStep(step, f"the norm of the gradient is {norm}")
        return None

    def state_dict(self) -> dict[str, Any]:
        """The state, which does not depend on the number of ranks; all ranks must call this."""
        losses = list(self._global_losses().float().unbind()) if self._losses.values() else []
        norms, jacobians = ([value.clone() for value in kept.values()] for kept in (self._norms, self._jacobians))
        return {"losses": losses, "norms": norms, "jacobians": jacobians}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore a state; rank 0 gets the whole loss of earlier steps, the other ranks 0."""
        share = 1.0 if self._world.is_first else 0.0
        self._losses.replace([loss.to(device) * share for loss in state["losses"]])
        self._norms.replace([norm.to(device) for norm in state["norms"]])
        self._jacobians.replace([jacobian.to(device) for jacobian in state["jacobians"]])

    def _global_losses(self) -> Tensor:
        return self._world.sum(torch.stack(self._losses.values()).double())


def worst(batch: NetworkRows, loss: Tensor, numbers: NDArray[Any] | None) -> str:
    """Text that lists the rows of a batch with the largest losses.

    Args:
        batch: the batch.
        loss: loss of each row, (N,).
        numbers: row number in the data of each training row, if known.
    """

    def name(i: int) -> str:
        if batch.train_index is None:
            return f"row {i} of the batch"
        index = int(batch.train_index[i])  # in the training split
        return f"row {index if numbers is None else numbers[index]}"

    order = loss.nan_to_num(nan=torch.inf).argsort(descending=True)[:NAMED].tolist()
    shown = ", ".join(f"{name(i)} ({float(loss[i]):.4g})" for i in order)
    return f"largest losses of its {len(batch)} rows: {shown}"
