"""The counts of a run, and the drift computed from them."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest
from scipy import stats

from vaekit.bundle import Calibration
from vaekit.scoring import Scores
from vaekit.scoring.batch.drift import drift, histogram, rates
from vaekit.scoring.batch.tally import Tally, TopRow, edges_for

N = 199
HELD_OUT = np.sort(np.random.default_rng(0).normal(size=N))
CALIBRATION = Calibration.of(HELD_OUT)


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


def test_top_rows_can_be_none_and_ties_are_in_row_order():
    none, some = Tally(0), Tally(3)
    for tally in (none, some):
        tally.add(scores(np.ones(5)), np.arange(5), "x")
    assert none.top == []
    assert [odd.row for odd in some.top] == [0, 1, 2]


@pytest.mark.parametrize("shift", [0.0, 0.3, 3.0, -3.0])
def test_the_ks_distance_of_p_values_equals_that_of_the_scores(shift):
    score = np.random.default_rng(2).normal(size=4000) + shift
    values, counts = np.unique(CALIBRATION.p_value(score), return_counts=True)
    found = drift(values, counts, N)
    assert found is not None
    assert found.ks == pytest.approx(stats.ks_2samp(score, HELD_OUT).statistic, abs=1.01 / (N + 1))


def test_the_ks_distance_by_chance_is_exceeded_in_five_percent_of_runs():
    rng, exceeded = np.random.default_rng(3), 0
    for _ in range(400):
        calibration = Calibration.of(rng.normal(size=N))
        values, counts = np.unique(calibration.p_value(rng.normal(size=500)), return_counts=True)
        found = drift(values, counts, N)
        exceeded += found.ks > found.ks_by_chance
    assert 5 <= exceeded <= 40  # Binomial(400, 0.05): within these limits in 99.9 % of cases


@pytest.mark.parametrize(
    ("shift", "rows", "reading"),
    [(0.0, 2000, "no drift"), (3.0, 2000, "large drift"), (0.0, 20, "too few"), (0.45, 100_000, "check recent rows")],
)
def test_drift_has_a_reading_in_words(shift, rows, reading):
    score = np.random.default_rng(4).normal(size=rows) + shift
    found = drift(*np.unique(CALIBRATION.p_value(score), return_counts=True), N)
    assert found is not None
    assert reading in found.reading


def test_the_stability_index_of_uniform_p_values_is_zero():
    grid = np.arange(1, N + 2) / (N + 1)
    found = drift(grid, np.full(N + 1, 10_000), N)
    assert found is not None
    assert found.psi == pytest.approx(0.0, abs=1e-6)
    assert found.ks == pytest.approx(0.0, abs=1e-12)


def test_without_p_values_there_is_no_drift_and_no_rate():
    none, counts = np.empty(0), np.empty(0, dtype=np.int64)
    assert drift(none, counts, N) is None
    assert rates(none, counts) == {}


def test_a_p_value_on_a_bin_edge_counts_in_the_lower_bin():
    values = np.array([0.05, 0.1, 0.1000001, 1.0])
    assert histogram(values, np.array([1, 2, 3, 4]), 10).tolist() == [3, 3, 0, 0, 0, 0, 0, 0, 0, 4]


def test_rates_are_shares_of_rows_and_none_below_the_smallest_p_value():
    found = rates(np.array([0.01, 0.05, 0.5]), np.array([1, 1, 8]), smallest=0.01)
    assert found == {0.001: None, 0.005: None, 0.01: 0.1, 0.05: 0.2, 0.1: 0.2}
