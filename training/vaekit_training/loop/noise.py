"""The standard normals of every training step.

N rows, K draws, Z latent dimensions.
"""

from __future__ import annotations

import torch
from torch import Tensor

from vaekit_training.data.batch import generator

NORMALS = 2**18  # numbers drawn in one call, to share its overhead among the steps of a block


class Noise:
    """Draws eps (N, K, Z) of each step. They depend only on (seed, step), so a step number defines the position."""

    def __init__(self, shape: tuple[int, int, int], seed: int, device: torch.device | str = "cpu") -> None:
        """shape: (N, K, Z) of the global batch, for any number of ranks."""
        self._shape, self._seed, self._device = shape, seed, device
        n, k, z = shape
        self._steps = max(1, NORMALS // (n * k * z))  # per block
        self._block = -1
        self._eps: tuple[Tensor, ...] = ()

    def __call__(self, step: int) -> Tensor:
        """eps (N, K, Z) of this step; steps are numbered from 1."""
        block, place = divmod(step - 1, self._steps)
        if block != self._block:
            draws = generator(self._seed, 2, block, device=self._device)
            eps = torch.randn(self._steps, *self._shape, generator=draws, device=self._device)
            self._block, self._eps = block, eps.unbind(0)
        return self._eps[place]

    def of_features(self, step: int) -> torch.Generator:
        """The random generator for features that are redrawn at this step."""
        return generator(self._seed, 3, step, device=self._device)
