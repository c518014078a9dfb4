"""Draws of a model from one seed, some at a time. Knows noise and two graphs, not where they are run.

n rows, D data dimensions, Z latent dimensions.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.manifest import Manifest, Operation
from vaekit.errors import InputError
from vaekit.runtime.codes import MAX_LATENT
from vaekit.runtime.results import Samples

Run = Callable[[Operation, Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


class Draws:
    """z ~ p(z), and x = E[x|z], or x ~ p(x|z) where `observe` is true: a stream that the seed gives.

    Each kind of noise has a stream of its own, so that taking n rows and then m gives the rows that taking n + m does.
    """

    def __init__(
        self, run: Run, manifest: Manifest, chunk: int, *, seed: int, temperature: float = 1.0, observe: bool = False
    ) -> None:
        """
        Args:
            run: calls a graph.
            manifest: of the model.
            chunk: rows of one call, at most.
            seed: gives the draws.
            temperature: scales the noise that goes into the prior.
            observe: draw x from p(x|z).

        Raises:
            InputError: a temperature below 0 or not finite.
        """
        if not 0.0 <= temperature < np.inf:
            raise InputError(f"temperature: {temperature} is not a finite number of at least 0")
        self._run, self._manifest, self._chunk = run, manifest, chunk
        self._temperature, self._observe = temperature, observe
        self._prior, self._pixel, self._component, self._origin = (
            np.random.default_rng([seed, stream]) for stream in range(4)
        )
        self._wanted = {tensor.name for tensor in manifest.operations["prior"].inputs}

    def take(self, n: int) -> Samples:
        """The next n rows.

        Raises:
            InputError: n < 1.
        """
        if n < 1:
            raise InputError(f"n: {n} is not at least 1")
        sizes = [min(self._chunk, n - start) for start in range(0, n, self._chunk)]
        return Samples.concatenate([self._take(size) for size in sizes])

    def _take(self, n: int) -> Samples:
        noise = self._prior.standard_normal((n, self._manifest.latent_dim))  # (n, Z)
        with np.errstate(over="ignore"):
            noise = np.clip(noise * self._temperature, -MAX_LATENT, MAX_LATENT)
        member: dict[str, NDArray[Any]] = {}
        if self._manifest.members > 1:
            member["member"] = self._origin.integers(self._manifest.members, size=n)
        feeds = {"noise": noise.astype(np.float32), "choice": self._component.random(n, dtype=np.float32), **member}
        z = self._run("prior", {name: a for name, a in feeds.items() if name in self._wanted})["z"]
        codes = np.clip(z, -MAX_LATENT, MAX_LATENT)  # (n, Z)
        if self._observe:
            normals = self._pixel.standard_normal((n, self._manifest.input.dim, 2)).astype(np.float32)
            x = self._run("observe", {"z": codes, "noise": normals, **member})["x"]
        else:
            x = self._run("decode", {"z": codes, **member})["mean"]
        return Samples(latents=codes, samples=x, members=member.get("member"))
