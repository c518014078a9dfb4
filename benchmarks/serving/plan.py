"""The options of a serving benchmark, its models, and the results of their graphs alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.serving import models, servers
from benchmarks.serving.models import LARGE, SMALL, K, Shape
from vaekit.runtime import Model


@dataclass(frozen=True)
class Plan:
    """The options of one part."""

    quick: bool
    work: Path  # a folder for generated files; the caller empties it
    peers: Path | None = None  # folder of the peers' virtual environments; None: peers are left out
    before: str | None = None  # the commit that the part `commits` compares with
    device: str = "cpu"  # cpu or cuda[:index], for the comparison with torch

    @property
    def rounds(self) -> int:
        return int(self.pick(5, 2))

    @property
    def seconds(self) -> float:
        """Seconds of one load, without warm-up."""
        return float(self.pick(5.0, 2.0))

    def pick(self, full: Any, quick: Any) -> Any:
        return quick if self.quick else full

    @cached_property
    def bundles(self) -> dict[Shape, Path]:
        return {shape: models.make(shape, self.work) for shape in (SMALL, LARGE)}

    def files(self, shape: Shape) -> tuple[str, str]:
        """The paths of the graph and its draws, as arguments of the arms."""
        return str(self.bundles[shape] / "elbo.onnx"), str(models.draws(shape, self.work))

    def elbo(self, shape: Shape, x: NDArray[np.float64], num_samples: int | None = K) -> NDArray[np.float64]:
        """The graph's ELBO of rows, (N,) nats; num_samples=None: the bundle's default number of draws."""
        with Model.load(self.bundles[shape], device="cpu", threads=1) as model:
            return np.asarray(model.elbo(x, num_samples=num_samples).elbo)

    def graph_alone(self, shape: Shape, x: NDArray[np.float64]) -> dict[str, Any]:
        """Run the graph on rows in a loop without a server, on the server's core."""
        source = self.work / f"{shape.name}-{len(x)}-rows.npy"
        np.save(source, x)
        arguments = [*self.files(shape), str(source), str(self.seconds)]
        return servers.run_pinned("serving.arms.raw", arguments, core=servers.SERVER_CORE)
