"""The counts of a run, and the drift computed from them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from unittest.mock import patch

import numpy as np
import pytest
from scipy import stats

from tests.kinds import Published
from vaekit.bundle import Calibration
from vaekit.bundle.comparison import rank_score
from vaekit.bundle.drift import Drift, _Cells, drift, histogram, rates
from vaekit.runtime import Model
from vaekit.scoring import Scores
from vaekit.scoring.batch.tally import Tally, TopRow, binned, edges_for
from vaekit.scoring.scorers import LocalScorer

N = 199
HELD_OUT = np.sort(np.random.default_rng(0).normal(size=N))
CALIBRATION = Calibration.of(HELD_OUT)
DISCRETE = {  # scores with ties, (n,), from a generator and n
    "poisson": lambda rng, n: rng.poisson(3, n).astype(float),
    "binary": lambda rng, n: (rng.random(n) < 0.4).astype(float),
    "one value": lambda rng, n: 0.0 * rng.normal(size=n),
}


def scores(score: np.ndarray, unknown: int = 0) -> Scores:
    p_value = CALIBRATION.p_value(score)
    p_value[:unknown] = np.nan
    return Scores(-score, -score, np.zeros(len(score)), p_value, p_value <= 0.05)


def counted(score: np.ndarray, parts: int, keep: int = 5) -> Tally:
    """The tally of the scores, merged from `parts` tallies that went through JSON."""
    whole = Tally(keep, edges_for(HELD_OUT))
    for numbers in np.array_split(np.arange(len(score)), parts):
        part = Tally(keep, edges_for(HELD_OUT))
        part.add(scores(score[numbers]), numbers, "x.parquet")
        part.bad.update(["missing"])
        whole.merge(Tally.from_json(json.loads(json.dumps(part.to_json()))))
    return whole


def test_counts_do_not_depend_on_how_rows_are_split_into_parts():
    score = np.random.default_rng(1).normal(size=1000)
    one, many = counted(score, 1), counted(score, 7)
    assert {**one.to_json(), "bad": 0} == {**many.to_json(), "bad": 0}
    assert many.bad == Counter(missing=7)
    assert (one.rows, one.read, one.judged) == (1000, 1001, 1000)


def test_counts_match_the_scores():
    score = np.random.default_rng(1).normal(size=1000)
    found, p = counted(score, 3), CALIBRATION.p_value(score)
    assert found.anomalies == (p <= 0.05).sum()
    for value, count in zip(found.p_values, found.p_counts, strict=True):
        assert (p == value).sum() == count
    edges = np.array(found.edges)
    want = np.histogram(score, [-np.inf, *edges, np.inf])[0]
    np.testing.assert_array_equal(found.scores, want)
    order = np.argsort(-score)[:5]
    assert found.top == [TopRow(score[i], i, "x.parquet") for i in order]


def test_rows_without_a_p_value_are_counted_separately():
    found = Tally(2)
    found.add(scores(np.arange(5.0), unknown=2), np.arange(5), "x")
    assert (found.rows, found.unknown, found.judged, len(found.scores)) == (5, 2, 3, 0)


def test_novel_calibration_rows_are_in_the_bin_of_novel_rows(mixed: Published) -> None:
    novel = np.arange(N) < 9
    held_out = Calibration.of(HELD_OUT, novel)
    with (
        Model.load(mixed.folder, device="cpu") as model,
        patch.object(model, "calibration", return_value=held_out),
    ):
        scorer = LocalScorer(model, alpha=0.1)
    edges = edges_for(scorer.held_out)
    assert (edges[0], edges[-1] < 1e3) == (HELD_OUT[9], True)
    assert binned(scorer.held_out, edges)[-1] == 9
    run = Tally(0, edges)
    run.add(replace(scores(HELD_OUT), novel=[["load"] if flag else None for flag in novel]), np.arange(N), "x")
    np.testing.assert_array_equal(run.scores, binned(scorer.held_out, edges))
    assert edges_for(rank_score(HELD_OUT, np.ones(N, dtype=bool))) == []


def test_top_rows_can_be_none_and_ties_are_in_row_order():
    none, some = Tally(0), Tally(3)
    for tally in (none, some):
        tally.add(scores(np.ones(5)), np.arange(5), "x")
    assert none.top == []
    assert [odd.row for odd in some.top] == [0, 1, 2]


def drift_of(score: np.ndarray, calibration: Calibration = CALIBRATION) -> Drift:
    """The drift of a run with these scores, (m,)."""
    found = drift(*np.unique(calibration.p_value(score), return_counts=True), calibration.held_out_p_values)
    assert found is not None
    return found


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0, -3.0])
def test_the_ks_distance_of_p_values_equals_that_of_the_scores(shift):
    score = np.random.default_rng(2).normal(size=4000) + shift
    found = drift_of(score)
    assert found.ks == pytest.approx(stats.ks_2samp(score, HELD_OUT).statistic, abs=1.01 / (N + 1))


@pytest.mark.parametrize("kind", [*DISCRETE])
@pytest.mark.parametrize("shift", [0, 1])
def test_the_ks_distance_of_tied_scores_is_that_of_the_two_samples(kind, shift):
    rng = np.random.default_rng(2)
    held_out, score = DISCRETE[kind](rng, 100), DISCRETE[kind](rng, 700)
    score = score + shift * (score == score.max())  # scores above all of the calibration's
    found = drift_of(score, Calibration.of(held_out))
    assert found.ks == pytest.approx(stats.ks_2samp(score, held_out).statistic, abs=1e-12)


def test_a_run_of_the_calibration_rows_themselves_has_not_drifted_also_with_ties():
    scores = np.repeat([0.0, 1.0], 100)
    found = drift_of(scores, Calibration.of(scores))
    assert found.ks == 0.0
    assert found.psi == pytest.approx(0.0, abs=1e-12)
    assert found.reading == "no drift beyond chance for this number of rows"


def test_a_run_of_the_calibration_rows_has_not_drifted_also_where_some_are_novel_or_differ_by_rounding():
    rng = np.random.default_rng(6)
    scores = rng.integers(0, 4, 120) * (1.0 + 1e-7 * rng.normal(size=120))
    novel = rng.random(120) < 0.1
    calibration = Calibration.of(scores, novel)
    p_values = calibration.p_value(scores * (1.0 + 1e-7 * rng.normal(size=120)), novel)
    found = drift(*np.unique(p_values, return_counts=True), calibration.held_out_p_values)
    assert found is not None
    assert found.ks == 0.0
    assert "no drift" in found.reading
    assert "no drift" not in drift_of(scores + 1.0, calibration).reading


@pytest.mark.parametrize(("n", "m"), [(50, 50), (99, 500)])
def test_distances_by_chance_are_exceeded_in_five_percent_of_runs(n, m):
    rng = np.random.default_rng(3)
    found = [drift_of(rng.normal(size=m), Calibration.of(rng.normal(size=n))) for _ in range(100)]
    for exceeded in (
        sum(one.ks > one.ks_by_chance for one in found),
        sum(one.psi > one.psi_by_chance for one in found),
    ):
        assert exceeded <= 13  # Binomial(100, 0.05): at most this in 99.95 % of cases
    assert sum("large" in one.reading for one in found) <= 5


@pytest.mark.parametrize("kind", ["poisson", "binary"])
@pytest.mark.parametrize(("n", "m"), [(50, 50), (100, 700)])
def test_tied_scores_without_drift_are_called_drift_in_about_five_percent_of_runs(kind, n, m):
    rng = np.random.default_rng(4)
    found = [drift_of(DISCRETE[kind](rng, m), Calibration.of(DISCRETE[kind](rng, n))) for _ in range(100)]
    assert sum("no drift" not in one.reading for one in found) <= 13


def test_more_cells_than_simulated_ones_do_not_change_what_is_measured():
    rng = np.random.default_rng(5)
    held_out, score = rng.normal(size=5000), rng.normal(size=3000) + 0.05
    found = drift_of(score, Calibration.of(held_out))
    assert found.ks == pytest.approx(stats.ks_2samp(score, held_out).statistic, abs=1.01 / 5001)
    assert found.ks_by_chance == pytest.approx(1.358 * np.sqrt(1 / 5000 + 1 / 3000), rel=0.06)


@pytest.mark.parametrize(
    ("shift", "rows", "reading"),
    [
        (0.0, 2000, "no drift"),
        (3.0, 2000, "large drift"),
        (0.0, 20, "too few"),
        (3.0, 20, "large drift"),
        (0.45, 100_000, "check recent rows"),
    ],
)
def test_drift_has_a_reading_in_words(shift, rows, reading):
    score = np.random.default_rng(4).normal(size=rows) + shift
    assert reading in drift_of(score).reading


def test_the_stability_index_of_uniform_p_values_is_zero():
    grid = np.arange(1, N + 2) / (N + 1)
    found = drift(grid, np.full(N + 1, 10_000), CALIBRATION.held_out_p_values)
    assert found is not None
    assert found.psi == pytest.approx(0.0, abs=1e-3)
    assert found.ks == pytest.approx(1.0 / (N + 1), abs=1e-12)  # the rows above all calibration rows


def test_without_p_values_there_is_no_drift_and_no_rate():
    none, counts = np.empty(0), np.empty(0, dtype=np.int64)
    assert drift(none, counts, CALIBRATION.held_out_p_values) is None
    assert rates(none, counts) == {}


def test_a_p_value_on_a_bin_edge_counts_in_the_lower_bin():
    values = np.array([0.05, 0.1, 0.1000001, 1.0])
    assert histogram(values, np.array([1, 2, 3, 4]), 10).tolist() == [3, 3, 0, 0, 0, 0, 0, 0, 0, 4]


def test_rates_are_shares_of_rows_and_none_below_the_smallest_p_value():
    found = rates(np.array([0.01, 0.05, 0.5]), np.array([1, 1, 8]), smallest=0.01)
    assert found == {0.001: None, 0.005: None, 0.01: 0.1, 0.05: 0.2, 0.1: 0.2}


@pytest.mark.parametrize("tied", [0, 5])
def test_a_run_without_drift_has_scores_above_all_held_out_ones_as_often_as_exchangeable_rows(tied: int) -> None:
    """With n held-out scores a new row is above all of them with probability 1 / (n + 1), on average."""
    n, m = 19, 1000
    p_values = (np.maximum(np.arange(n), tied) + 2.0) / (n + 1)
    runs = _Cells.of(p_values).simulated(m, np.random.default_rng(0))
    np.testing.assert_allclose(runs[:, 0].mean() / m, 1 / (n + 1), rtol=0.15)
    np.testing.assert_allclose(runs[:, 1].mean() / m, (1 + tied) / (n + 1), rtol=0.15)
