"""Divides exemplars into blocks of one cluster, so that one batched matrix product computes all distances."""

from __future__ import annotations

import torch
from torch import Tensor

SIZES = (16, 32, 64, 128, 256)  # sizes of blocks that are tried
PER_BLOCK = 8  # cost of another block, in places


def blocks_of(cluster: Tensor) -> tuple[Tensor, Tensor]:
    """Exemplars in blocks of one cluster, (B, S), -1 for empty places; and the place of each exemplar, (M,)."""
    counts = torch.bincount(cluster)

    def cost(size: int) -> int:
        return int((counts / size).ceil().sum()) * (size + PER_BLOCK)

    size = min((*SIZES, int(counts.max())), key=cost)
    rows = [part for k in range(len(counts)) for part in (cluster == k).nonzero()[:, 0].split(size)]
    blocks = torch.full((len(rows), size), -1)
    for b, part in enumerate(rows):
        blocks[b, : len(part)] = part
    there = (blocks.flatten() >= 0).nonzero()[:, 0]
    places = torch.empty(len(cluster), dtype=torch.long)
    places[blocks.flatten()[there]] = there
    return blocks, places
