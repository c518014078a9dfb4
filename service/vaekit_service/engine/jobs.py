"""The job of one request, and how slices of several jobs run in one call of the model."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle.manifest import Operation as Graph
from vaekit.bundle.tolerance import Tolerances
from vaekit.client.wire import RowId
from vaekit.runtime import Bound, Model
from vaekit.runtime.explain.tolerance import tolerated
from vaekit.runtime.results import RowArrays
from vaekit.runtime.sampling import SampleDraws
from vaekit.tabular.columns import NOTHING_IGNORED, Ignored
from vaekit_service.engine.batcher import JobSlice
from vaekit_service.messages import Operation
from vaekit_service.stages import Stages


@dataclass(eq=False)
class Job:
    """The work of one request. Jobs of one lane differ only in their rows, so their rows may share a call."""

    model: Model
    operation: Operation
    n: int  # rows of the answer
    rows: NDArray[Any] | None = None  # encode, elbo: checked x (N, ...); decode: z (N, Z); sample: None
    num_samples: int = 1  # elbo: K
    seed: int | None = None  # sample: always set; elbo: set if the request chose its own draws
    log_evidence: bool = True  # elbo: whether it is requested
    features: bool = False  # elbo: whether the log-likelihood of each feature is requested
    explain: int = 0  # elbo: number of cells to explain per row
    similar: int = 0  # elbo: number of similar training rows to show per row
    temperature: float = 1.0  # sample
    observe: bool = False  # sample: whether to draw x from p(x|z)
    members: NDArray[np.int64] | None = None  # decode: (N,), for an ensemble
    tolerances: Tolerances | None = field(default=None, kw_only=True)  # elbo: the rules in force
    alarms_at: float | None = field(default=None, kw_only=True)  # alpha, if the rows are alarms to compare with rules
    ignored: Ignored = field(default=NOTHING_IGNORED, kw_only=True)  # columns of the rows that the model does not have
    ids: Sequence[RowId] | None = field(default=None, kw_only=True)  # elbo: the caller's ids, for the score log
    max_batch_rows: int = field(default=2**31, kw_only=True)  # rows of a full batch
    stages: Stages = field(
        default_factory=Stages, kw_only=True, repr=False
    )  # gets the seconds in the queue and on the device
    _draws: SampleDraws | None = field(default=None, init=False, repr=False)

    @property
    def graph(self) -> Graph:
        """The cheapest graph that computes everything that the request needs."""
        if self.operation == "sample":
            return "prior"
        if self.operation != "elbo":
            return self.operation
        if self.features or self.explain or self.similar:
            return "surprise"
        return "elbo" if self.log_evidence or "bound" not in self.model.manifest.operations else "bound"

    @property
    def kind(self) -> Hashable:
        """The settings that determine the cost per row: jobs of one model and kind cost the same per row."""
        review = () if self.alarms_at is None else (self.alarms_at, self.tolerances)
        return (self.graph, self.num_samples, self.features, self.explain, self.similar, self.observe, *review)

    @property
    def lane(self) -> Hashable:
        return (self.model, self.kind)

    def draws(self, start: int, stop: int) -> dict[str, NDArray[Any]]:
        """The noise of rows start to stop of a sample job, by input name of the graph."""
        assert self.seed is not None
        if self._draws is None:
            self._draws = SampleDraws(
                self.model.manifest, self.seed, temperature=self.temperature, observe=self.observe
            )
        return self._draws.rows(start, stop)


Slice = JobSlice[Job, RowArrays]


def run(slices: Sequence[Slice]) -> list[RowArrays]:
    """Run slices of one lane in one call of the model, in the calling thread; return one result per slice.

    Raises:
        VaeError: the model refuses a row of any slice. The caller reruns the slices one by one to find out which.
    """
    result = _CALLS[slices[0].job.operation](slices[0].job, slices)
    edges = accumulate((each.n for each in slices), initial=0)
    return [result] if len(slices) == 1 else [result[a:b] for a, b in pairwise(edges)]


def joined(answers: Sequence[RowArrays]) -> RowArrays:
    """Concatenate the results of successive slices of one job."""
    return type(answers[0]).concatenate(list(answers))


def _encode(job: Job, slices: Sequence[Slice]) -> RowArrays:
    return job.model.encode_checked(_rows(slices))


def _decode(job: Job, slices: Sequence[Slice]) -> RowArrays:
    members = [each.job.members[each.start : each.stop] for each in slices if each.job.members is not None]
    return job.model.decode_rows(_rows(slices), _together(members) if members else None)


def _sample(job: Job, slices: Sequence[Slice]) -> RowArrays:
    draws = [each.job.draws(each.start, each.stop) for each in slices]
    return job.model.samples_from_draws({name: _together([one[name] for one in draws]) for name in draws[0]})


def _elbo(job: Job, slices: Sequence[Slice]) -> RowArrays:
    x, k = _rows(slices), job.num_samples
    if job.alarms_at is not None:
        assert job.tolerances is not None
        return tolerated(job.model, x, tolerances=job.tolerances, alpha=job.alarms_at, num_samples=k)
    found = _scored(job, slices, x)
    if not job.similar:
        return found
    return replace(found, similar=job.model.similar_checked(x, top=job.similar, show=True).records())


def _scored(job: Job, slices: Sequence[Slice], x: NDArray[Any]) -> Bound:
    k = job.num_samples
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
