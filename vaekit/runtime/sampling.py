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

SKIP_ROWS = 1024  # rows are skipped by drawing this many at a time


class SampleDraws:
    """A stream of rows of noise. Drawing n and then m rows gives the same rows as drawing n + m rows at once, because
    each kind of noise has its own generator."""

    def __init__(self, manifest: Manifest, seed: int, *, temperature: float = 1.0, observe: bool = False) -> None:
        """
        Args:
            manifest: the model's manifest.
            seed: seed of all noise.
            temperature: scales the noise that goes into the prior.
            observe: also draw the noise for x ~ p(x|z).

        Raises:
            InputError: as in check_temperature.
        """
        check_temperature(manifest, temperature)
        self._manifest, self._seed = manifest, seed
        self._temperature, self._observe = temperature, observe
        self._reset()

    def _reset(self) -> None:
        self._drawn = 0  # rows drawn so far
        self._prior, self._observation, self._component, self._member = (
            np.random.default_rng([self._seed, stream]) for stream in range(4)
        )

    def rows(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """The noise of rows start to stop, by name.

        `noise` (n, Z), and `choice` (n,), which selects a component of an aggregate prior; `member` (n,) for an
        ensemble; `normals` (n, D, 2), the noise of x ~ p(x|z), if `observe` is true.
        """
        if start < self._drawn:
            self._reset()
        while self._drawn < start:
            self._draw(min(SKIP_ROWS, start - self._drawn))
        return self._draw(stop - start)

    def _draw(self, n: int) -> dict[str, NDArray[Any]]:
        self._drawn += n
        noise = self._prior.standard_normal((n, self._manifest.latent_dim))  # (n, Z)
        with np.errstate(over="ignore"):
            noise = np.clip(noise * self._temperature, -MAX_LATENT, MAX_LATENT)
        found: dict[str, NDArray[Any]] = {
            "noise": noise.astype(np.float32),
            "choice": self._component.random(n, dtype=np.float32),
        }
        if self._manifest.members > 1:
            found["member"] = self._member.integers(self._manifest.members, size=n)
        if self._observe:
            found["normals"] = self._observation.standard_normal((n, self._manifest.input.dim, 2)).astype(np.float32)
        return found


def check_temperature(manifest: Manifest, temperature: float) -> None:
    """Refuse a temperature at which the model cannot sample, or would give training rows back.

    Aggregate and kernel priors are made of training rows. At temperature 0 a sample is the reconstruction of one of
    them, or with a kernel prior a training row shrunk towards the mean of its cluster. Between 0 and 1 it stays close.

    Raises:
        InputError: the temperature is below 0 or not finite, or below the manifest's least_temperature.
    """
    if not 0.0 <= temperature < np.inf:
        raise InputError(f"temperature: {temperature} is not a finite number of at least 0")
    if temperature >= manifest.least_temperature:
        return
    share = manifest.metrics.get("training_rows_reconstructed")
    known = "" if share is None else f" (of {share.value:.0%} of them at temperature 0)"
    raise InputError(
        f"temperature: {temperature:g} is below 1, where samples of {manifest.name}@{manifest.version} can be near "
        f"copies of training rows{known}, because its prior consists of them: use 1 or more, or train again, with "
        "privacy.allow_low_temperature = true if everyone who may sample may see these rows, or with "
        "prior.name = 'normal', which leaves training rows out of the bundle"
    )
