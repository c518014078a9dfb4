"""The ranks of a run: the processes that torchrun started, or a single one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist

from vaekit.errors import DeviceError


@dataclass(frozen=True)
class World:
    """This process's rank and the number of ranks; with a single rank, no method communicates."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which validates, writes files and prints."""
        return self.rank == 0

    def share(self, rows: int) -> tuple[int, int]:
        """Start and stop of this rank's slice of a batch with `rows` rows."""
        return self.rank * rows // self.size, (self.rank + 1) * rows // self.size

    def sum(self, tensor: Tensor) -> Tensor:
        """The tensor summed over all ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is true on any rank."""
        return flag if self.size == 1 else bool(self.sum(torch.tensor(float(flag), device=device)))

    def broadcast(self, tensor: Tensor) -> None:
        """Copy rank 0's tensor to every rank, in place."""
        if self.size > 1:
            dist.broadcast(tensor, src=0)

    def from_first(self, value: Any) -> Any:
        """Rank 0's value, returned on every rank; it must be picklable. The other ranks wait for rank 0."""
        if self.size == 1:
            return value
        values = [value]
        dist.broadcast_object_list(values, src=0)
        return values[0]


def is_first_rank() -> bool:
    """Whether this process is rank 0 or the only process, from the environment alone."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def world(device: str = "auto") -> Iterator[tuple[World, str]]:
    """Context that connects the ranks started by torchrun; yields the World and the device of this rank.

    With CUDA each rank uses the device whose index is its local rank, and the ranks communicate by nccl; without CUDA
    they communicate by gloo.

    Raises:
        DeviceError: several ranks were given the same CUDA device.
    """
    size = int(os.environ.get("WORLD_SIZE", "1"))
    if size == 1 or dist.is_initialized():
        yield World(dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else World(), device
        return
    if device.startswith("cuda:"):
        raise DeviceError(f"device {device}: {size} ranks cannot share it; use 'cuda' to give each rank its own")
    on_cuda = device == "cuda" or (device == "auto" and torch.cuda.is_available())
    if on_cuda:
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
        torch.cuda.set_device(device)
    dist.init_process_group("nccl" if on_cuda else "gloo")
    try:
        yield World(dist.get_rank(), size), device
    finally:
        dist.destroy_process_group()
