"""The ranks of a run: those that torchrun started, or a single one."""

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
    """This rank and the number of ranks; with a single rank every exchange is a no-op."""

    rank: int = 0
    size: int = 1

    @property
    def leads(self) -> bool:
        """Whether this rank validates, writes and prints."""
        return self.rank == 0

    def share(self, rows: int) -> tuple[int, int]:
        """First and last + 1 of this rank's rows in a batch of `rows` rows."""
        return self.rank * rows // self.size, (self.rank + 1) * rows // self.size

    def add(self, tensor: Tensor) -> Tensor:
        """The sum over ranks, in place."""
        if self.size > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool, device: torch.device) -> bool:
        """Whether the flag is set on any rank."""
        return flag if self.size == 1 else bool(self.add(torch.tensor(float(flag), device=device)))

    def copy_first(self, tensor: Tensor) -> None:
        """Copy rank 0's tensor to every rank, in place."""
        if self.size > 1:
            dist.broadcast(tensor, src=0)

    def of_first(self, value: Any) -> Any:
        """Rank 0's value, on every rank; a plain value. Other ranks wait for rank 0."""
        if self.size == 1:
            return value
        box = [value]
        dist.broadcast_object_list(box, src=0)
        return box[0]


def leads() -> bool:
    """Whether this process is the first one that torchrun started, or the only one."""
    return os.environ.get("RANK", "0") == "0"


@contextmanager
def world(device: str = "auto") -> Iterator[tuple[World, str]]:
    """The ranks that torchrun's environment names, connected inside the block, and this rank's device.

    Each rank uses the CUDA device with its local rank's index, over nccl; without CUDA the ranks use gloo.

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
