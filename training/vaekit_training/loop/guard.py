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

NAMED = 5  # rows listed in a message
BLOCK = 256  # steps


@dataclass(frozen=True)
class Bad:
    """The first step that was not finite, and the reason."""

    step: int
    what: str


class Series:
    """Small tensors of one shape, one per step, copied into blocks of memory allocated at once.

    If they were kept as they come, they would lie between the large tensors of every step, and the heap would grow by
    tens of kilobytes per step until the next validation.
    """

    def __init__(self) -> None:
        self._places: list[Tensor] = []
        self._count = 0

    def append(self, value: Tensor) -> None:
        if self._count == len(self._places):
            block = torch.empty((BLOCK, *value.shape), dtype=value.dtype, device=value.device)
            self._places += block.unbind(0)
        self._places[self._count].copy_(value)
        self._count += 1

    def clear(self) -> None:
        self._count = 0

    def values(self) -> list[Tensor]:
        return self._places[: self._count]

    def replace(self, values: list[Tensor]) -> None:
        self._places, self._count = [], 0
        for value in values:
            self.append(value)


class StepRecord:
    """Losses, gradient norms and Jacobians of the steps since the last validation; on the device until read."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._losses = Series()  # this rank's shares, each ()
        self._norms = Series()  # each (M, 1)
        self._jacobians = Series()  # of the global batch, each ()

    def add(self, loss: Tensor, norm: Tensor, jacobian: Tensor) -> None:
        self._losses.append(loss)
        self._norms.append(norm)
        self._jacobians.append(jacobian)

    def clear(self) -> None:
        for kept in (self._losses, self._norms, self._jacobians):
            kept.clear()

    def objective(self) -> float:
        """Mean over the steps of the global loss in raw units; a collective call of all ranks."""
        jacobian = torch.stack(self._jacobians.values()).double().mean()
        return float(self._global_losses().mean() - jacobian)

    def bad(self, last: int, *, norms: bool) -> Bad | None:
        """The first bad step up to `last`; a collective call of all ranks. norms: whether to check gradient norms."""
        if not self._losses.values():
            return None
        losses = self._global_losses().tolist()
        longest = torch.stack(self._norms.values()).flatten(1).amax(1).tolist()
        for step, loss, norm in zip(range(last - len(losses) + 1, last + 1), losses, longest, strict=True):
            if not math.isfinite(loss):
                return Bad(step, f"the loss is {loss}")
            if norms and not math.isfinite(norm):
                return Bad(step, f"the norm of the gradient is {norm}")
        return None

    def state_dict(self) -> dict[str, Any]:
        """The same state for every number of ranks; a collective call of all ranks."""
        losses = list(self._global_losses().float().unbind()) if self._losses.values() else []
        norms, jacobians = ([value.clone() for value in kept.values()] for kept in (self._norms, self._jacobians))
        return {"losses": losses, "norms": norms, "jacobians": jacobians}

    def load_state_dict(self, state: dict[str, Any], device: torch.device) -> None:
        """Restore a state; the first rank takes the whole loss of earlier steps."""
        share = 1.0 if self._world.leads else 0.0
        self._losses.replace([loss.to(device) * share for loss in state["losses"]])
        self._norms.replace([norm.to(device) for norm in state["norms"]])
        self._jacobians.replace([jacobian.to(device) for jacobian in state["jacobians"]])

    def _global_losses(self) -> Tensor:
        return self._world.add(torch.stack(self._losses.values()).double())


def worst(batch: NetworkRows, loss: Tensor, numbers: NDArray[Any] | None) -> str:
    """The rows of a batch with the largest losses (N,), by their numbers in the data if these are known."""

    def name(i: int) -> str:
        if batch.own is None:
            return f"row {i} of the batch"
        own = int(batch.own[i])
        return f"row {own if numbers is None else numbers[own]}"

    order = loss.nan_to_num(nan=torch.inf).argsort(descending=True)[:NAMED].tolist()
    return f"the worst of its {len(batch)} rows: " + ", ".join(f"{name(i)} ({float(loss[i]):.4g})" for i in order)
