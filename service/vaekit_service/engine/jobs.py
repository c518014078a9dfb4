"""A request as a job for the device, and how slices of jobs of one lane run in one call of the model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.manifest import Operation as Graph
from vaekit.runtime import Bound, Model
from vaekit.runtime.results import RowArrays
from vaekit.runtime.sampling import SampleDraws
from vaekit.tabular.columns import NOTHING_IGNORED, Ignored
from vaekit_service.engine.batcher import JobSlice
from vaekit_service.messages import Operation


@dataclass(eq=False)
class Job:
    """One request. Jobs of one lane differ in what they have by the row alone: their rows may go through together."""

    model: Model
    operation: Operation
    n: int  # rows of the answer
    rows: NDArray[Any] | None = None  # x (N, ...) of encode and elbo, checked, z (N, Z) of decode, None of sample
    num_samples: int = 1  # K of elbo
    seed: int | None = None  # of sample always; of elbo where the draws are the request's own
    log_evidence: bool = True  # whether it is asked for
    features: bool = False
    explain: int = 0  # cells of each row; 0: none
    temperature: float = 1.0
    observe: bool = False
    members: NDArray[np.int64] | None = None  # (N,) of decode, where the model has members
    ignored: Ignored = field(default=NOTHING_IGNORED, kw_only=True)  # columns of the request
    most: int = field(default=2**31, kw_only=True)  # rows of one call, at most
    _draws: SampleDraws | None = field(default=None, init=False, repr=False)

    @property
    def graph(self) -> Graph:
        """The graph that its rows go through: of those that give what is asked for, the one of least work."""
        if self.operation == "sample":
            return "prior"
        if self.operation != "elbo":
            return self.operation
        if self.features or self.explain:
            return "surprise"
        return "elbo" if self.log_evidence or "bound" not in self.model.manifest.operations else "bound"

    @property
    def kind(self) -> Hashable:
        """What of its model it calls for: rows of one kind cost the same."""
        return (self.graph, self.num_samples, self.features, self.explain, self.observe)

    @property
    def lane(self) -> Hashable:
        return (self.model, self.kind)

    def draws(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """The noise of a sample's rows."""
        assert self.seed is not None
        if self._draws is None:
            self._draws = SampleDraws(
                self.model.manifest, self.seed, temperature=self.temperature, observe=self.observe
            )
        return self._draws.rows(start, stop)


Slice = JobSlice[Job, RowArrays]


def run(slices: Sequence[Slice]) -> list[RowArrays]:
    """The results of slices of jobs of one lane, in one call in the calling thread.

    Raises:
        VaeError: what the model says to any of them; who asked finds out which.
    """
    whole = _CALLS[slices[0].job.operation](slices[0].job, slices)
    edges = accumulate((each.n for each in slices), initial=0)
    return [whole] if len(slices) == 1 else [whole[a:b] for a, b in pairwise(edges)]


def joined(answers: Sequence[RowArrays]) -> RowArrays:
    """The answers for successive rows as one."""
    return type(answers[0]).concatenate(list(answers))


def _encode(job: Job, slices: Sequence[Slice]) -> RowArrays:
    return job.model.encode_checked(_rows(slices))


def _decode(job: Job, slices: Sequence[Slice]) -> RowArrays:
    members = [each.job.members[each.start : each.stop] for each in slices if each.job.members is not None]
    return job.model.decode(_rows(slices), _together(members) if members else None)


def _sample(job: Job, slices: Sequence[Slice]) -> RowArrays:
    draws = [each.job.draws(each.start, each.stop) for each in slices]
    return job.model.of_draws({name: _together([one[name] for one in draws]) for name in draws[0]})


def _elbo(job: Job, slices: Sequence[Slice]) -> RowArrays:
    x, k = _rows(slices), job.num_samples
    if job.explain:
        found = job.model.explain_checked(x, top=job.explain)
        return found if job.features else replace(found, feature_log_likelihood=None)
    score: Callable[..., Bound] = partial(job.model.elbo_checked, features=job.features)
    if job.graph == "bound":
        score = job.model.bound_checked
    if all(each.job.seed is None for each in slices):
        return score(x, num_samples=k)
    eps = [np.repeat(job.model.draws(k, each.job.seed)[None], each.n, axis=0) for each in slices]  # each (n, K, Z)
    return score(x, eps=_together(eps))


def _rows(slices: Sequence[Slice]) -> NDArray[Any]:
    return _together([each.job.rows[each.start : each.stop] for each in slices if each.job.rows is not None])


def _together(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


_CALLS: dict[Operation, Callable[[Job, Sequence[Slice]], RowArrays]]
_CALLS = {"encode": _encode, "decode": _decode, "sample": _sample, "elbo": _elbo}
