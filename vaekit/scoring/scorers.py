"""Scores of rows, by a model in this process or by one behind a service."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Protocol, TypedDict, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle import Calibration, ImageSpec, Manifest, VectorSpec
from vaekit.bundle.calibration import check_alpha
from vaekit.client import Client, RequestRefused, ServiceUnavailable, TooBusy
from vaekit.runtime import Bound, Model
from vaekit.runtime.explain.explanation import check_explained
from vaekit.runtime.results import RowArrays
from vaekit.scoring.output_columns import appended_for

Array = NDArray[np.float64]
R = TypeVar("R", bound=RowArrays)
LOCAL_CELLS = 2**20  # cells of a batch: 8 MiB of float64; some batches are in work at once
FEWEST_ROWS = 256  # of a chunk that is worth a thread, where it is scored alone
REMOTE_CELLS = 2**18  # cells of a request: 2 MiB, under the body limits that services and proxies have
REMOTE_ROWS = 10_000  # rows of a request
EXPLAINING = 32  # times the work of scoring a row, about: fewer rows of a request by that
ATTEMPTS = 10  # tries of one request while the service is full, or will be back
LONGEST_PAUSE = 30.0  # seconds
TOO_LARGE = 413


@dataclass(frozen=True)
class Scores(RowArrays):
    """Of each row, (n,), in nats; p_value, p_value_tail and is_anomaly are None where the model cannot give them.

    A row that misses as many cells as no calibration row does has a p_value of NaN, and False for is_anomaly.
    """

    elbo: Array
    log_likelihood: Array  # E_q[log p(x|z)]
    kl: Array  # KL(q(z|x) || p(z))
    p_value: Array | None  # lower is odder
    is_anomaly: NDArray[np.bool_] | None  # p_value <= alpha
    observed_count: NDArray[np.int64] | None = None  # columns that are not missing; None where none may be
    p_value_tail: Array | None = None  # extrapolated beyond the highest held-out score, without a guarantee
    explanation: NDArray[Any] | None = None  # (n, k) of CELL, the oddest cell first; None where nobody asked
    kl_p_value: Array | None = None  # among held-out KLs, with an explanation; lower is odder

    @property
    def score(self) -> Array:
        """Negative ELBO. Higher is odder."""
        return -self.elbo

    @property
    def unknown(self) -> NDArray[np.bool_] | None:
        """Rows without a p-value, where there are p-values."""
        return None if self.p_value is None else np.isnan(self.p_value)


class Scorer(Protocol):
    """A model and the way it is asked."""

    @property
    def model(self) -> str:
        """name@version."""

    @property
    def spec(self) -> VectorSpec | ImageSpec: ...

    @property
    def appended(self) -> pa.Schema:
        """The columns that its scores have, in the order of the output: names of Scores, and their types."""

    @property
    def alpha(self) -> float: ...

    @property
    def reason(self) -> str | None:
        """Why there are no p-values at all; None where there are, or where no row has been scored that would tell."""

    @property
    def batch_rows(self) -> int:
        """How many rows it likes at once."""

    @property
    def held_out(self) -> Array | None:
        """Scores of the calibration rows, (n,), nats, ascending; None where they are not to be had, or are of folds,
        each by its own model."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """All that scores depend on besides the rows, as JSON has it: a run goes on only where they are the same."""

    def score(self, x: NDArray[Any]) -> Scores:
        """Scores of n >= 1 checked rows: as `rows_of` or `vaekit.tabular.encode` gives them for the spec."""


class ScoringOptions(TypedDict):
    """What every scorer is asked beside its model and the rows, wherever it is."""

    num_samples: int | None  # K; None: the model's default
    alpha: float
    explain: int | None  # cells of each row, the oddest first; None: no cells


class LocalScorer:
    """A loaded model, with the draws whose scores its calibration knows."""

    def __init__(
        self,
        model: Model,
        *,
        num_samples: int | None = None,
        alpha: float = 0.05,
        explain: int | None = None,
        at_once: int = 1,
    ) -> None:
        """
        Args:
            model: stays the caller's to close.
            num_samples: K; None: the model's default.
            alpha: false-alarm rate of the verdict.
            explain: cells of each row, the oddest first, at some thirty times the work of scoring it; None: no cells.
            at_once: calls of the graph at once, over rows of a batch: of a model whose calls take one thread each, one
                for each core is faster than one call that all cores share, since none waits for another.

        Raises:
            InputError: K, alpha or explain out of range, or a model whose cells have nothing to compare with.
            NotResolvable: an alpha that the calibration cannot tell.
        """
        check_alpha(alpha)
        model.draws(num_samples)
        if explain is not None:
            check_explained(model, explain, num_samples)
        found = model.calibration(num_samples)
        asked: ScoringOptions = {"num_samples": num_samples, "alpha": alpha, "explain": explain}
        self._model = model
        self._num_samples, self._explain, self._at_once = num_samples, explain, at_once
        self._calibration = None if isinstance(found, str) else found
        self.reason = found if isinstance(found, str) else None
        self.model = f"{model.manifest.name}@{model.manifest.version}"
        self.spec = model.spec
        self.appended = appended_for(model.spec, explain)
        self.alpha = alpha
        self.batch_rows = max(1, LOCAL_CELLS // model.spec.dim)
        self.held_out = self._calibration.scores if isinstance(self._calibration, Calibration) else None
        self.facts = _facts(model.manifest, asked, precision=model.precision)
        if self._calibration is not None:
            self._calibration.check_alpha(alpha)

    def score(self, x: NDArray[Any]) -> Scores:
        scores = self._with_verdict(
            self._in_parallel(partial(self._model.bound_checked, num_samples=self._num_samples), x, FEWEST_ROWS)
        )
        if self._explain is None:
            return scores
        found = self._in_parallel(partial(self._model.explain_checked, top=self._explain), x, FEWEST_ROWS // EXPLAINING)
        return replace(scores, explanation=found.explanation, kl_p_value=found.kl_p_value)

    def _with_verdict(self, got: Bound) -> Scores:
        """Bounds and what the calibration says of them."""
        count = got.observed_count
        if self._calibration is None:
            return Scores(got.elbo, got.log_likelihood, got.kl, None, None, count)
        found = self._calibration.verdict(got, self.alpha)
        return Scores(got.elbo, got.log_likelihood, got.kl, found.p_value, found.is_anomaly, count, found.p_value_tail)

    def _in_parallel(self, ask: Callable[[NDArray[Any]], R], x: NDArray[Any], fewest: int) -> R:
        """What the model gives of rows, chunks of them at once where those are of so many rows."""
        size = -(-len(x) // self._at_once)
        if self._at_once == 1 or size < fewest:
            return ask(x)
        with ThreadPoolExecutor(self._at_once) as pool:
            found = list(pool.map(ask, (x[at : at + size] for at in range(0, len(x), size))))
        return found[0].concatenate(found)


class RemoteScorer:
    """A version of a model behind a running service.

    While the service is full, or says that it will be back, it waits and asks again; what is too large for the service
    it halves.
    """

    def __init__(
        self,
        client: Client,
        name: str,
        version: int | None = None,
        *,
        num_samples: int | None = None,
        alpha: float = 0.05,
        explain: int | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """
        Args:
            client: stays the caller's to close.
            name: a model that the service has.
            version: None: the one that serves now, and for the whole run.
            num_samples: K; None: the model's default.
            alpha: false-alarm rate of the verdict.
            explain: as of LocalScorer.
            pause: waits some seconds.

        Raises:
            ClientError: the service does not answer, or has no such model.
        """
        check_alpha(alpha)
        manifest = client.model(name, version)
        self._client = client
        self._name, self._version = manifest.name, manifest.version
        self._options: ScoringOptions = {"num_samples": num_samples, "alpha": alpha, "explain": explain}
        self._pause = pause
        self.reason: str | None = None
        self.model = f"{manifest.name}@{manifest.version}"
        self.spec: VectorSpec | ImageSpec = manifest.input
        self.appended = appended_for(self.spec, explain)
        self.alpha = alpha
        self.held_out: Array | None = None
        self.facts = _facts(manifest, self._options, by="service")
        most = min(REMOTE_ROWS, REMOTE_CELLS // self.spec.dim) // (1 if explain is None else EXPLAINING)
        self.batch_rows = self._most = max(1, most)

    def score(self, x: NDArray[Any]) -> Scores:
        if len(x) > (most := self._most):
            return Scores.concatenate([self.score(x[at : at + most]) for at in range(0, len(x), most)])
        try:
            return self._with_retries(x)
        except RequestRefused as exc:
            if exc.status != TOO_LARGE or len(x) == 1:
                raise
        self._most = (len(x) + 1) // 2  # the service takes less than that at once
        return self.score(x)

    def _with_retries(self, x: NDArray[Any]) -> Scores:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._ask(x)
            except (TooBusy, ServiceUnavailable) as exc:
                lasting = isinstance(exc, ServiceUnavailable) and exc.retry_after is None  # it would fail again
                if lasting or attempt == ATTEMPTS:
                    raise
                self._pause(min(LONGEST_PAUSE, exc.retry_after or 0.25 * 2**attempt))
        raise AssertionError("the last attempt returns or raises")

    def _ask(self, x: NDArray[Any]) -> Scores:
        got = self._client.elbo(x, log_evidence=False, model=self._name, version=self._version, **self._options)
        if got.is_anomaly is None:  # else the reason is that of single rows
            self.reason = got.p_value_reason
        return Scores(**{field.name: getattr(got, field.name) for field in fields(Scores)})


def _facts(manifest: Manifest, asked: ScoringOptions, **more: Any) -> dict[str, Any]:
    return {
        "model": f"{manifest.name}@{manifest.version}",
        "manifest_sha256": hashlib.sha256(manifest.model_dump_json().encode()).hexdigest(),
        **asked,
        "num_samples": asked["num_samples"] or manifest.draws.default,
        **more,
    }
