"""Draws the random numbers for samples from one seed.

n rows, D data dimensions, Z latent dimensions.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.manifest import Manifest
from vaekit.errors import InputError
from vaekit.runtime.latents import MAX_LATENT

SKIPPED = 1024  # rows drawn at once when rows are skipped


class SampleDraws:
    """A stream of rows of noise. Drawing n and then m rows gives the same rows as n + m at once, because each kind of
    noise has its own generator."""

    def __init__(self, manifest: Manifest, seed: int, *, temperature: float = 1.0, observe: bool = False) -> None:
        """
        Args:
            manifest: the model's manifest.
            seed: of all draws.
            temperature: scales the noise that goes into the prior.
            observe: also draw the noise for x ~ p(x|z).

        Raises:
            InputError: the temperature is below 0 or not finite.
        """
        if not 0.0 <= temperature < np.inf:
            raise InputError(f"temperature: {temperature} is not a finite number of at least 0")
        self._manifest, self._seed = manifest, seed
        self._temperature, self._observe = temperature, observe
        self._begin()

    def _begin(self) -> None:
        self._at = 0  # rows drawn so far
        self._prior, self._pixel, self._component, self._origin = (
            np.random.default_rng([self._seed, stream]) for stream in range(4)
        )

    def rows(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """Rows start to stop: `noise` (n, Z), `choice` (n,), `member` (n,) with members, `normals` (n, D, 2)."""
        if start < self._at:
            self._begin()
        while self._at < start:
            self._take(min(SKIPPED, start - self._at))
        return self._take(stop - start)

    def _take(self, n: int) -> dict[str, NDArray[Any]]:
        self._at += n
        noise = self._prior.standard_normal((n, self._manifest.latent_dim))  # (n, Z)
        with np.errstate(over="ignore"):
            noise = np.clip(noise * self._temperature, -MAX_LATENT, MAX_LATENT)
        found: dict[str, NDArray[Any]] = {
            "noise": noise.astype(np.float32),
            "choice": self._component.random(n, dtype=np.float32),
        }
        if self._manifest.members > 1:
            found["member"] = self._origin.integers(self._manifest.members, size=n)
        if self._observe:
            found["normals"] = self._pixel.standard_normal((n, self._manifest.input.dim, 2)).astype(np.float32)
        return found
