"""Runs the elbo graph of a bundle with one thread and fixed draws. Every peer server uses it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

OUTPUTS = ("elbo", "log_likelihood", "kl", "log_evidence")
RELATIVE, ABSOLUTE = 1e-4, 1e-2  # tolerance for float32 sums of 784 terms in a different order


class Graph:
    """x (N, D) in raw units -> the ELBO and its terms, each (N,), in nats."""

    def __init__(self, path: Path | str, eps: Path | str) -> None:
        options = ort.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = ort.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        self._eps = np.load(eps)  # (K, Z)

    def feeds(self, x: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
        """The inputs of the graph for rows."""
        return {"x": x, "eps": np.repeat(self._eps[None], len(x), axis=0)}  # (N, D), (N, K, Z)

    def __call__(self, x: NDArray[np.float64]) -> dict[str, NDArray[np.float64]]:
        return dict(zip(OUTPUTS, self.session.run(OUTPUTS, self.feeds(x)), strict=True))

    def each(self, requests: Sequence[NDArray[np.float64]]) -> list[dict[str, list[float]]]:
        """One call for the rows of several requests; returns a JSON-ready result for each request."""
        found = self(np.concatenate(requests))
        ends = np.cumsum([len(x) for x in requests])[:-1]
        parts = {name: np.split(values, ends) for name, values in found.items()}
        return [{name: part[i].tolist() for name, part in parts.items()} for i in range(len(requests))]


def agrees(got: Sequence[float], want: Sequence[float] | NDArray[np.float64]) -> bool:
    """Whether ELBOs of rows agree with those of the graph, within a tolerance that allows any batching of rows."""
    return len(got) == len(want) and np.allclose(got, want, RELATIVE, ABSOLUTE)
