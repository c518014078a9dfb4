"""Requests as the device sees them, and how those of one lane are run in one call. Knows arrays, not queues or HTTP."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate, pairwise
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from vaekit.runtime import Model
from vaekit.runtime.results import Rows
from vaekit.runtime.sampling import Draws

Operation = Literal["encode", "decode", "sample", "elbo"]


@dataclass(frozen=True, eq=False)
class Job:
    """One request. Jobs of one lane differ in their rows alone, so that the rows of several may go through together."""

    model: Model
    operation: Operation
    n: int  # rows of the answer
    rows: NDArray[Any] | None = None  # x (N, ...) of encode and elbo, z (N, Z) of decode, None of sample
    num_samples: int = 1  # K of elbo
    seed: int | None = None  # of sample always; of elbo where the draws are the request's own
    features: bool = False
    temperature: float = 1.0
    observe: bool = False
    members: NDArray[np.int64] | None = None  # (N,) of decode, where the model has members
    most: int = field(default=2**31, kw_only=True)  # rows of one call, at most

    @cached_property
    def lane(self) -> Hashable:
        """A sample's rows come from its own seed, one after the other: its lane is its own."""
        if self.operation == "sample":
            return self
        return (self.model, self.operation, self.num_samples, self.seed, self.features)

    def run(self, start: int, stop: int) -> Rows:
        """The answer for rows start to stop, computed in the calling thread; of a sample the next so many."""
        if self.operation == "sample":
            return self._draws.take(stop - start)
        assert self.rows is not None
        rows = self.rows[start:stop]
        if self.operation == "encode":
            return self.model.encode(rows)
        if self.operation == "decode":
            return self.model.decode(rows, None if self.members is None else self.members[start:stop])
        return self.model.elbo(rows, num_samples=self.num_samples, seed=self.seed, features=self.features)

    @cached_property
    def _draws(self) -> Draws:
        assert self.seed is not None
        return self.model.draws_of(self.seed, temperature=self.temperature, observe=self.observe)


def run(pieces: Sequence[tuple[Job, int, int]]) -> list[Rows]:
    """The answers of pieces (job, start, stop) of one lane, in one call.

    Raises:
        VaeError: what the model says to any of them; who asked finds out which.
    """
    if len(pieces) == 1:
        job, start, stop = pieces[0]
        return [job.run(start, stop)]
    whole = _joined(pieces).run(0, sum(stop - start for _, start, stop in pieces))
    edges = accumulate((stop - start for _, start, stop in pieces), initial=0)
    return [whole[a:b] for a, b in pairwise(edges)]


def _joined(pieces: Sequence[tuple[Job, int, int]]) -> Job:
    """One job of all their rows."""
    first = pieces[0][0]
    rows = [job.rows[start:stop] for job, start, stop in pieces if job.rows is not None]
    members = [job.members[start:stop] for job, start, stop in pieces if job.members is not None]
    return replace(first, rows=np.concatenate(rows), members=np.concatenate(members) if members else None)


def joined(answers: Sequence[Rows]) -> Rows:
    """The answers for successive rows as one."""
    return type(answers[0]).concatenate(list(answers))
