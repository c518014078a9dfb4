"""Scores, p-values and verdicts of test rows and labelled anomalies, and the ROC curve of their scores.

n rows: the test rows first, then the anomalies.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from vaekit.bundle import AnyCalibration
from vaekit.bundle.comparison import rank_score
from vaekit.bundle.ranking import auroc
from vaekit.runtime import Bound, Model
from vaekit_training.data.rows import Rows
from vaekit_training.evaluate import ALPHA

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """Test rows and labelled anomalies as the published model judges them."""

    index: NDArray[np.intp]  # (n,), of the row in Rows
    labelled: Flags  # (n,), which rows are labelled anomalies
    score: Floats  # (n,), nats; higher is more anomalous
    rank: Floats  # (n,), the score, and for novel rows a number above all scores
    p_value: Floats  # (n,); lower is more anomalous
    flagged: Flags  # (n,), p_value <= ALPHA
    novel: Flags  # (n,)
    group: NDArray[np.str_] | None  # (n,), the calibration group of the p-value; None without groups

    @property
    def has_anomalies(self) -> bool:
        return bool(self.labelled.any())

    @property
    def most_anomalous(self) -> NDArray[np.intp]:
        """The places of all rows, (n,), the most anomalous first: by p-value, then by score."""
        return np.lexsort((-self.rank, self.p_value))

    @property
    def auroc(self) -> float:
        """P(an anomaly ranks above a normal row), ties counted half."""
        return auroc(self.rank[~self.labelled], self.rank[self.labelled])[0]

    def roc(self) -> tuple[Floats, Floats]:
        """The corners of the ROC curve: shares of normal rows and of anomalies at or above each score, (t + 1,) each.

        The first point is (0, 0), the last (1, 1); the area below the lines between them is `auroc`.
        """
        _, at = np.unique(-self.rank, return_inverse=True)  # 0: the highest score
        normal, anomalies = (
            np.bincount(at[which], minlength=at.max() + 1).cumsum() / max(which.sum(), 1)
            for which in (~self.labelled, self.labelled)
        )
        right, up = np.diff(normal, prepend=0.0) > 0, np.diff(anomalies, prepend=0.0) > 0  # the step to each point
        is_straight = (right[:-1] == right[1:]) & (up[:-1] == up[1:]) & (right[1:] != up[1:])
        corner = np.append(~is_straight, True)
        return np.concatenate([[0.0], normal[corner]]), np.concatenate([[0.0], anomalies[corner]])


def judge(
    model: Model, held_out: AnyCalibration, rows: Rows, test: NDArray[np.intp], anomalies: NDArray[np.intp]
) -> Judged:
    """Score the rows at these indices and compare them with the calibration."""
    scored = [model.bound_checked(np.asarray(rows.x[index])) for index in (test, anomalies) if len(index)]
    verdicts = [held_out.verdict(one, ALPHA) for one in scored]
    novel = [np.zeros(len(one), dtype=bool) if one.novel is None else one.novel for one in scored]
    groups = [one.group for one in verdicts if one.group is not None]
    return Judged(
        index=np.concatenate([test, anomalies]).astype(np.intp),
        labelled=np.repeat([False, True], [len(test), len(anomalies)]),
        score=np.concatenate([one.score for one in scored]),
        rank=np.concatenate([_rank(one) for one in scored]),
        p_value=np.concatenate([one.p_value for one in verdicts]),
        flagged=np.concatenate([one.p_value <= ALPHA for one in verdicts]),
        novel=np.concatenate(novel),
        group=np.concatenate(groups) if groups else None,
    )


def _rank(scored: Bound) -> Floats:
    return rank_score(scored.score, scored.novel)
