"""Records a training step as a CUDA graph, and replays it."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from vaekit_training.data.batch import NetworkRows

WARM_UPS = 3  # runs before recording, in which libraries initialise and memory is allocated

Compute = Callable[[NetworkRows, Tensor, Tensor], tuple[Tensor, Tensor]]


class Graphed:
    """Calls compute(batch, eps, beta) -> two tensors, by replaying all of its kernels with one launch."""

    def __init__(self, compute: Compute, reset: Callable[[], Callable[[], None]]) -> None:
        """reset: called before the warm-up runs; returns a function that undoes their changes."""
        self._compute, self._reset = compute, reset
        self._graph: torch.cuda.CUDAGraph | None = None

    def __call__(self, batch: NetworkRows, eps: Tensor, beta: float) -> tuple[Tensor, Tensor]:
        """Copies of the results of compute for these arguments, whose shapes must not change between calls."""
        if self._graph is None:
            self._record(batch, eps, beta)
        assert self._graph is not None
        for kept, given in (
            (self._batch.t, batch.t),
            (self._batch.observed, batch.observed),
            (self._batch.train_index, batch.train_index),
        ):
            if kept is not None and given is not None:
                kept.copy_(given)
        self._eps.copy_(eps)
        self._beta.fill_(beta)
        self._graph.replay()
        loss, norm = self._out
        return loss.clone(), norm.clone()

    def _record(self, batch: NetworkRows, eps: Tensor, beta: float) -> None:
        clone = batch.take(torch.arange(len(batch)))
        self._batch, self._eps, self._beta = clone, eps.clone(), torch.tensor(beta, device=eps.device)
        undo = self._reset()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self._compute(self._batch, self._eps, self._beta)
        torch.cuda.current_stream().wait_stream(stream)
        undo()
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._out = self._compute(self._batch, self._eps, self._beta)
