"""Provides eps in z = mu + sigma eps: the default draws, draws from a seed, or checked draws from the caller.

N rows, Z latent dimensions, K draws.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property, lru_cache

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import default_eps
from vaekit.errors import InputError

CACHED_COUNTS = 8  # how many values of K have their default eps cached


class EpsDraws:
    """Standard normal draws for sampling the posterior of a model."""

    def __init__(self, base: NDArray[np.float64], default: int) -> None:
        """
        Args:
            base: the bundle's base draws, (K_max, Z).
            default: K if a caller sets none.
        """
        self._base, self._default = base, default

    def draw(self, num_samples: int | None = None, seed: int | None = None) -> NDArray[np.float32]:
        """eps (K, Z): the default draws, or draws from a seed.

        Raises:
            InputError: K is not between 2 and K_max.
        """
        k = self._default if num_samples is None else num_samples
        if seed is None:
            return self._default_eps(k)
        return np.random.default_rng(seed).standard_normal(self._default_eps(k).shape).astype(np.float32)

    def check(self, eps: NDArray[np.floating], n: int) -> NDArray[np.float32]:
        """Check the shape of eps from a caller for N = n rows, (K, Z) or (N, K, Z); returns it as float32.

        Raises:
            InputError: eps has another shape.
        """
        latent_dim = self._base.shape[1]
        expected = eps.ndim == 2 or (eps.ndim == 3 and len(eps) == n)
        if not expected or eps.shape[-1] != latent_dim or eps.shape[-2] < 1:
            raise InputError(f"eps: shape {eps.shape}, expected (K, {latent_dim}) or ({n}, K, {latent_dim})")
        return np.ascontiguousarray(eps, dtype=np.float32)

    @cached_property
    def _default_eps(self) -> Callable[[int], NDArray[np.float32]]:
        """K -> the default draws, (K, Z)."""
        base = self._base  # not self: a cache that refers to its owner keeps it alive
        return lru_cache(CACHED_COUNTS)(lambda k: default_eps(base, k).astype(np.float32))
