"""Requests as the device sees them, and how those of one lane are run in one call. Knows arrays, not queues or HTTP."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.manifest import Operation as Graph
from vaekit.runtime import Bound, Model
from vaekit.runtime.results import Rows
from vaekit.runtime.sampling import Draws

Operation = Literal["encode", "decode", "sample", "elbo"]


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
    most: int = field(default=2**31, kw_only=True)  # rows of one call, at most
    _draws: Draws | None = field(default=None, init=False, repr=False)

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
            self._draws = Draws(self.model.manifest, self.seed, temperature=self.temperature, observe=self.observe)
        return self._draws.rows(start, stop)


@dataclass(frozen=True)
class Part:
    """Rows start to stop of a job."""

    job: Job
    start: int
    stop: int

    @property
    def rows(self) -> NDArray[Any]:
        assert self.job.rows is not None
        return self.job.rows[self.start : self.stop]

    @property
    def n(self) -> int:
        return self.stop - self.start


def run(parts: Sequence[Part]) -> list[Rows]:
    """The answers of parts of jobs of one lane, in one call in the calling thread.

    Raises:
        VaeError: what the model says to any of them; who asked finds out which.
    """
    whole = _CALLS[parts[0].job.operation](parts[0].job, parts)
    edges = accumulate((part.n for part in parts), initial=0)
    return [whole] if len(parts) == 1 else [whole[a:b] for a, b in pairwise(edges)]


def joined(answers: Sequence[Rows]) -> Rows:
    """The answers for successive rows as one."""
    return type(answers[0]).concatenate(list(answers))


def _encode(job: Job, parts: Sequence[Part]) -> Rows:
    return job.model.encode(_together([part.rows for part in parts]), checked=True)


def _decode(job: Job, parts: Sequence[Part]) -> Rows:
    members = [part.job.members[part.start : part.stop] for part in parts if part.job.members is not None]
    return job.model.decode(_together([part.rows for part in parts]), _together(members) if members else None)


def _sample(job: Job, parts: Sequence[Part]) -> Rows:
    each = [part.job.draws(part.start, part.stop) for part in parts]
    return job.model.of_draws({name: _together([draws[name] for draws in each]) for name in each[0]})


def _elbo(job: Job, parts: Sequence[Part]) -> Rows:
    x, k = _together([part.rows for part in parts]), job.num_samples
    if job.explain:
        found = job.model.explain(x, top=job.explain, checked=True)
        return found if job.features else replace(found, feature_log_likelihood=None)
    score: Callable[..., Bound] = partial(job.model.elbo, features=job.features)
    if job.graph == "bound":
        score = job.model.bound
    if all(part.job.seed is None for part in parts):
        return score(x, num_samples=k, checked=True)
    eps = [np.repeat(job.model.draws(k, part.job.seed)[None], part.n, axis=0) for part in parts]  # each (n, K, Z)
    return score(x, eps=_together(eps), checked=True)


def _together(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


_CALLS = {"encode": _encode, "decode": _decode, "sample": _sample, "elbo": _elbo}
