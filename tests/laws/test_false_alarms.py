"""For rows like the calibration rows, the rate of false alarms is at most alpha."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import betabinom, chisquare

from vaekit.bundle import Calibration
from vaekit.runtime import Model

SPLITS, CALIBRATION = 400, 72
ALPHAS = (0.05, 0.1, 0.3)


@pytest.fixture(scope="module")
def scores(breast_cancer: Model, benign_rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Scores of the calibration and test rows of the bundle, 143 rows that were not used for training."""
    from vaekit_training.config import Config
    from vaekit_training.data.load import load
    from vaekit_training.data.split import split

    config = Config.model_validate(breast_cancer.manifest.provenance.config)
    rows = load(config.data)
    parts = split(rows, config.data, config.training.seed)
    held_out = np.r_[parts.calibration, parts.test]
    assert len(held_out) == 143
    assert len(benign_rows) == sum(len(p) for p in (parts.train, parts.validation, held_out))
    return breast_cancer.elbo(rows.x[held_out]).score


def _false_alarms(scores: NDArray[np.float64], alpha: float) -> NDArray[np.intp]:
    """Number of alarms among the other rows, for each of many random calibration sets."""
    rng = np.random.default_rng(0)
    counts = []
    for _ in range(SPLITS):
        order = rng.permutation(scores)
        calibration = Calibration.of(order[:CALIBRATION])
        alarms = calibration.p_value(order[CALIBRATION:]) <= alpha
        counts.append(int(alarms.sum()))
    return np.array(counts)


@pytest.mark.parametrize("alpha", ALPHAS)
def test_the_mean_false_alarm_rate_is_at_most_alpha(scores: NDArray[np.float64], alpha: float) -> None:
    left = len(scores) - CALIBRATION
    assert _false_alarms(scores, alpha).mean() / left <= alpha


@pytest.mark.parametrize("alpha", ALPHAS)
def test_false_alarm_counts_follow_their_beta_binomial_law(scores: NDArray[np.float64], alpha: float) -> None:
    """With l = floor(alpha (n + 1)), the number of alarms among m rows is BetaBinomial(m, l, n + 1 - l)."""
    left = len(scores) - CALIBRATION
    rank = int(np.floor(alpha * (CALIBRATION + 1) + 1e-9))
    law = betabinom(left, rank, CALIBRATION + 1 - rank)
    edges = np.unique(law.ppf(np.linspace(0, 1, 9)[1:-1]).astype(int))
    counts = _false_alarms(scores, alpha)
    seen = np.histogram(counts, np.r_[-1, edges, left] + 0.5)[0]
    expected = np.diff(np.r_[0.0, law.cdf(edges), 1.0]) * SPLITS
    assert expected.min() > 5
    assert chisquare(seen, expected).pvalue > 0.001


@pytest.mark.parametrize("draw", ["continuous", "a tenth of them alike", "five values"])
@pytest.mark.parametrize("n", [19, 100, 999])
def test_new_rows_are_flagged_with_a_probability_of_at_most_alpha_with_or_without_ties(n: int, draw: str) -> None:
    """Rows are independent, and every calibration uses new rows, so that the counts are independent."""
    rng, sets, m = np.random.default_rng(n), 3000, 10
    scores = {
        "continuous": lambda size: rng.exponential(size=size),
        "a tenth of them alike": lambda size: np.maximum(rng.normal(size=size), -1.28),
        "five values": lambda size: rng.integers(0, 5, size).astype(float),
    }[draw]
    alphas = np.array([0.05, 0.07, 0.1, 0.2, 1 / 3, 0.5, 0.9])
    flagged = np.empty((sets, len(alphas)))
    for i in range(sets):
        p_value = Calibration.of(scores(n)).p_value(scores(m))
        flagged[i] = (p_value[:, None] <= alphas).mean(axis=0)
    error = flagged.std(axis=0) / np.sqrt(sets)
    assert (flagged.mean(axis=0) <= alphas + 4 * error).all()
    if draw == "continuous":
        law = np.array([Calibration.of(np.zeros(n)).rank(alpha) for alpha in alphas]) / (n + 1)
        assert (np.abs(flagged.mean(axis=0) - law) <= 4 * error).all()


def test_the_smallest_alpha_still_gives_alarms(scores: NDArray[np.float64]) -> None:
    calibration = Calibration.of(scores)
    odd = calibration.p_value([scores.max() + 1.0])
    assert (odd <= calibration.smallest_alpha).all()
