"""Scorers for scikit-learn's model selection: how well a detector ranks known anomalies above normal rows.

scikit-learn's own "roc_auc" takes 1 as the class that decision_function is high for. With labels 0 and 1, where 1 is an
anomaly, it gives 1 - AUROC for every outlier detector, so a search would choose the worst setting.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from vaekit.bundle.comparison import rank_score
from vaekit.detector import Detector
from vaekit.detector_training import known_anomalies
from vaekit.errors import InputError

__all__ = ["average_precision", "roc_auc"]


def roc_auc(estimator: Any, X: Any, y: ArrayLike) -> float:  # noqa: N803  scikit-learn's name
    """P(a known anomaly scores lower than a normal row), ties counted half; 1 is best.

    >>> GridSearchCV(Detector(), {"likelihood": ["auto", "gaussian"]}, scoring=roc_auc).fit(x, y)

    Args:
        estimator: a fitted outlier detector, or a pipeline or search of one; lower score_samples are more anomalous,
            and the novel rows of a Detector more than all others.
        X: rows, (N, D).
        y: labels as for Detector.fit: 1 among 0 and 1, or -1 among -1 and 1, marks an anomaly.

    Raises:
        InputError: invalid rows or labels, or rows that are all normal or all anomalies.
    """
    from vaekit.bundle.ranking import auroc

    return auroc(*_groups(estimator, X, y))[0]


def average_precision(estimator: Any, X: Any, y: ArrayLike) -> float:  # noqa: N803  scikit-learn's name
    """Area under the precision-recall curve of the known anomalies; 1 is best, their share is chance.

    Args and Raises: as for roc_auc.
    """
    from vaekit.bundle import ranking

    return ranking.average_precision(*_groups(estimator, X, y))


def _groups(estimator: Any, X: Any, y: ArrayLike) -> tuple[NDArray[np.float64], NDArray[np.float64]]:  # noqa: N803
    """Scores of normal rows and of anomalies, higher is more anomalous."""
    score = _score(*_last_step(estimator, X))  # (N,)
    anomaly = known_anomalies(y, len(score))
    if anomaly.all() or not anomaly.any():
        raise InputError(
            f"y: {int(anomaly.sum())} of {len(anomaly)} rows are anomalies, expected some of each kind; "
            "StratifiedKFold keeps some in every fold"
        )
    return score[~anomaly], score[anomaly]


def _score(estimator: Any, X: Any) -> NDArray[np.float64]:  # noqa: N803
    """Numbers that order rows as the estimator does, (N,); higher is more anomalous.

    Those of a Detector order rows as its p-values do: novel rows above all others, whatever their ELBO.
    """
    if isinstance(estimator, Detector):
        bound = estimator._elbo(X)
        return rank_score(bound.score, bound.novel)
    return -np.asarray(estimator.score_samples(X), dtype=np.float64)


def _last_step(estimator: Any, X: Any) -> tuple[Any, Any]:  # noqa: N803
    """(the detector in searches and pipelines, the rows as it gets them)."""
    while not isinstance(estimator, Detector):
        if hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        elif len(getattr(estimator, "steps", ())) > 1:
            estimator, X = estimator[-1], estimator[:-1].transform(X)  # noqa: N806
        else:
            break
    return estimator, X
