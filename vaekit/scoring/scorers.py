"""What a scorer is, and the one that scores with a model in this process; vaekit.scoring.remote has the other."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NotRequired, Protocol, TypedDict, TypeVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from vaekit.bundle import Calibration, ImageSpec, Manifest, VectorSpec
from vaekit.bundle.calibration import check_alpha
from vaekit.bundle.comparison import rank_score
from vaekit.bundle.folds import UngroupedCalibration
from vaekit.bundle.grouped import every_row
from vaekit.runtime import Bound, Model
from vaekit.runtime.explain.explanation import check_explained
from vaekit.runtime.explain.tolerance import Tolerated, tolerances_of, tolerated
from vaekit.runtime.results import RowArrays
from vaekit.scoring.output_columns import appended_for
from vaekit.tabular.novelty import joined_names, novel_names
from vaekit.tolerance_rules import ToleranceRule

Array = NDArray[np.float64]
R = TypeVar("R", bound=RowArrays)
FEWEST_ALARMS = 2  # smallest number of alarms to compare with tolerance rules that is worth a thread of its own
LOCAL_CELLS = 2**20  # cells per batch: 8 MiB of float64; several batches are in memory at once
FEWEST_ROWS = 256  # smallest number of rows that is worth a thread of its own
EXPLAINING = 32  # approximate work of explaining a row relative to scoring it


@dataclass(frozen=True)
class Scores(RowArrays):
    """Scores of n rows, (n,) each, in nats. p_value, p_value_tail and is_anomaly are None without a calibration.

    A novel row that the model cannot score (a bundle before format 1.3) has NaN for elbo, and the smallest p_value.
    """

    elbo: Array
    log_likelihood: Array  # E_q[log p(x|z)]
    kl: Array  # KL(q(z|x) || p(z))
    p_value: Array | None  # lower is more anomalous
    is_anomaly: NDArray[np.bool_] | None  # p_value <= alpha, unless tolerance rules remove the alarm
    observed_count: NDArray[np.int64] | None = None  # observed cells; None if no column may be missing
    p_value_tail: Array | None = None  # extrapolated beyond the highest held-out score, without a guarantee
    novel: NDArray[np.object_] | None = None  # names of the cells that make it novel, or None; None for images
    explanation: NDArray[Any] | None = None  # (n, k) of CELL, the most anomalous cell first; None if not requested
    kl_p_value: Array | None = None  # among held-out KLs, only with an explanation; lower is more anomalous
    group: NDArray[np.str_] | None = None  # the calibration group that the row was compared with; None without groups
    group_pooled: NDArray[np.bool_] | None = None  # whether it is larger than the row's own group
    rules: NDArray[np.object_] | None = None  # lists of columns whose rules removed the alarm; None: there are no rules

    @property
    def tolerated(self) -> NDArray[np.object_] | None:
        """The columns of `rules` as one text, (n,); None for a row whose alarm no rule removed."""
        return None if self.rules is None else joined_names(self.rules.tolist())

    @property
    def score(self) -> Array:
        """-ELBO, nats: higher is more anomalous."""
        return -self.elbo

    @property
    def unknown(self) -> NDArray[np.bool_] | None:
        """Rows without a p-value, (n,); None without a calibration."""
        return None if self.p_value is None else np.isnan(self.p_value)


class Scorer(Protocol):
    """A model and the options it is scored with."""

    @property
    def model(self) -> str:
        """name@version."""

    @property
    def spec(self) -> VectorSpec | ImageSpec: ...

    @property
    def most_missing(self) -> int:
        """The most missing cells of a row that is not novel."""

    @property
    def id_column(self) -> str | None:
        """The column that identified the training rows; None if it is unknown."""

    @property
    def appended(self) -> pa.Schema:
        """The appended columns in output order; their names are attributes of Scores."""

    @property
    def alpha(self) -> float: ...

    @property
    def reason(self) -> str | None:
        """Why rows have no p-values; None if they have, or if no row has been scored yet."""

    @property
    def alpha_reason(self) -> str | None:
        """Why no row can be an anomaly at alpha, and what to do; None if rows can, or if no row has been scored yet."""

    @property
    def batch_rows(self) -> int:
        """Preferred number of rows per batch."""

    @property
    def held_out(self) -> Array | None:
        """Scores of the calibration rows as they rank (rank_score), (n,), ascending. None if they are unknown, or if
        the calibration is by folds: their scores come from different models."""

    @property
    def held_out_p_values(self) -> Array | None:
        """P-values of the calibration rows among themselves, (n,); None where held_out is."""

    @property
    def facts(self) -> Mapping[str, Any]:
        """Everything that scores depend on, except the rows, as JSON. A run resumes only if this is unchanged."""

    def score(self, x: NDArray[Any]) -> Scores:
        """Scores of n >= 1 checked rows, as returned by `rows_of` or `vaekit.tabular.encode` for the spec."""


class ScoringOptions(TypedDict):
    """Options of every scorer."""

    num_samples: int | None  # K; None: the model's default
    alpha: float
    explain: int | None  # number of most anomalous cells per row; None: no explanation
    ignore: NotRequired[dict[str, ToleranceRule] | None]  # tolerance rules by column; None: the model's


class LocalScorer:
    """Scores with a loaded model and the published draws, which its calibration used too."""

    def __init__(
        self,
        model: Model,
        *,
        num_samples: int | None = None,
        alpha: float = 0.05,
        explain: int | None = None,
        ignore: dict[str, ToleranceRule] | None = None,
        at_once: int = 1,
    ) -> None:
        """
        Args:
            model: the model; the caller closes it.
            num_samples: K; None: the model's default.
            alpha: false-alarm rate of the verdict.
            explain: number of most anomalous cells to explain per row, at about 30 times the work of a score; None: no
                explanation.
            ignore: tolerance rules by column; None: the model's.
            at_once: number of parallel calls of the graph, each for a share of the batch. With one thread per call, one
                call per core is faster than one call on all cores, because no thread waits for another.

        Raises:
            InputError: K, alpha or explain is out of range, a rule does not fit the model, or the model has no held-out
                surprises to explain with.
        """
        check_alpha(alpha)
        model.draws(num_samples)
        if explain is not None:
            check_explained(model, explain, num_samples)
        found = model.calibration(num_samples)
        options: ScoringOptions = {"num_samples": num_samples, "alpha": alpha, "explain": explain, "ignore": ignore}
        self._model, self._tolerances = model, tolerances_of(model, ignore)
        self._num_samples, self._explain, self._at_once = num_samples, explain, at_once
        self._calibration = None if isinstance(found, str) else found
        self.reason = found if isinstance(found, str) else None
        self.alpha_reason: str | None = None
        self.model = f"{model.manifest.name}@{model.manifest.version}"
        self.spec, self.most_missing = model.spec, model.manifest.most_missing
        self.id_column = model.manifest.id_column
        grouped = model.manifest.groups is not None
        self.appended = appended_for(model.spec, explain, rules=self._tolerances is not None, grouped=grouped)
        self.alpha = alpha
        self.batch_rows = max(1, LOCAL_CELLS // model.spec.dim)
        own = self._calibration
        self.held_out = None if own is None else _ranked(every_row(own))
        self.held_out_p_values = None if own is None else own.held_out_p_values
        self.facts = facts_of(model.manifest, options, precision=model.precision)
        if self._calibration is not None:
            self.alpha_reason = self._calibration.too_few(alpha)

    def score(self, x: NDArray[Any]) -> Scores:
        bound = self._in_parallel(partial(self._model.bound_checked, num_samples=self._num_samples), x, FEWEST_ROWS)
        scores = self._with_rules(replace(self._with_verdict(bound), novel=self._novel(x, bound)), x)
        if self._explain is None:
            return scores
        found = self._in_parallel(partial(self._model.explain_checked, top=self._explain), x, FEWEST_ROWS // EXPLAINING)
        return replace(scores, explanation=found.explanation, kl_p_value=found.kl_p_value)

    def _with_verdict(self, got: Bound) -> Scores:
        """Bounds with p-values and verdicts from the calibration."""
        count = got.observed_count
        if self._calibration is None:
            return Scores(got.elbo, got.log_likelihood, got.kl, None, None, count)
        found = self._calibration.verdict(got, self.alpha)
        scores = Scores(
            got.elbo, got.log_likelihood, got.kl, found.p_value, found.is_anomaly, count, found.p_value_tail
        )
        return scores if found.group is None else replace(scores, group=found.group, group_pooled=found.group_pooled)

    def _with_rules(self, scores: Scores, x: NDArray[Any]) -> Scores:
        """Scores after the tolerance rules, if there are any: alarms that the rules explain are removed."""
        rules, alarms = self._tolerances, scores.is_anomaly
        if rules is None:
            return scores
        found = Tolerated(np.zeros((len(x), len(rules)), dtype=bool))
        if alarms is not None and alarms.any():
            review = partial(tolerated, self._model, tolerances=rules, alpha=self.alpha, num_samples=self._num_samples)
            found = self._in_parallel(review, x[alarms], FEWEST_ALARMS).of_alarms(alarms)
            alarms = alarms & ~found.removed
        return replace(scores, is_anomaly=alarms, rules=found.columns(rules.names))

    def _novel(self, x: NDArray[Any], bound: Bound) -> NDArray[np.object_] | None:
        if bound.novel is None:
            return None
        if not bound.novel.any():
            return np.full(len(x), None, dtype=object)
        return joined_names(novel_names(x, self._model.manifest))

    def _in_parallel(self, call: Callable[[NDArray[Any]], R], x: NDArray[Any], fewest: int) -> R:
        """Call the model on the rows: in parallel if each call gets at least `fewest` rows, otherwise once."""
        size = -(-len(x) // self._at_once)
        if self._at_once == 1 or size < fewest:
            return call(x)
        with ThreadPoolExecutor(self._at_once) as pool:
            found = list(pool.map(call, (x[at : at + size] for at in range(0, len(x), size))))
        return found[0].concatenate(found)


def facts_of(manifest: Manifest, options: ScoringOptions, **more: Any) -> dict[str, Any]:
    """What the scores of a run depend on, for its summary and its records."""
    rules = options.get("ignore")
    return {
        "model": f"{manifest.name}@{manifest.version}",
        "manifest_sha256": hashlib.sha256(manifest.model_dump_json(exclude_none=True).encode()).hexdigest(),
        **{name: value for name, value in options.items() if name != "ignore"},
        **({} if rules is None else {"ignore": {name: rule.model_dump() for name, rule in rules.items()}}),
        "num_samples": options["num_samples"] or manifest.draws.default,
        **more,
    }


def _ranked(own: UngroupedCalibration) -> Array | None:
    """The rank scores of the held-out rows, (n,), ascending; None with folds, whose scores come from several models."""
    return rank_score(own.held_out, np.arange(own.n) >= own.scores.size) if isinstance(own, Calibration) else None
