"""Model health with groups and folds: another mix of groups is no change, and a change of one group is seen."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from vaekit.bundle.grouped import GroupedCalibration
from vaekit.bundle.groups import Group, Groups
from vaekit_service.model_health.held_out import Scores
from vaekit_service.model_health.window import Window

GROUPS = Groups(
    by=("site",),
    least_rows=19,
    groups=tuple(Group(values=(site,), n=n, pooled=n < 19) for site, n in (("a", 600), ("b", 25), ("c", 15))),
)
LEVELS = np.array([0.0, 0.0, 5.0, 1.5])  # mean score by node


@pytest.mark.parametrize("mix", [[0.94, 0.04, 0.02], [0, 1, 0], [0.5, 0.5, 0], [0, 0, 1]], ids=str)
def test_another_mix_of_groups_alone_is_no_drift(mix: list[float]) -> None:
    rng, found = np.random.default_rng(7), []
    nodes = np.repeat([1, 2, 3], [600, 25, 15])  # the last group is pooled: its rows are compared with all rows
    for _ in range(100):
        calibration = GroupedCalibration.of(LEVELS[nodes] + rng.normal(size=640), None, nodes, GROUPS)
        window = Window(calibration, size=1000, alpha=0.05)
        live = rng.choice([1, 2, 3], 400, p=mix)
        rows = Scores(LEVELS[live] + rng.normal(size=400), None, None, live)
        window.add(rows, calibration.verdict(rows).p_value, np.zeros(400))
        drift = window.figures().drift
        found.append((drift.ks_p_value, drift.psi_p_value))
    for level in (0.05, 0.5):
        assert (np.array(found) <= level).sum(axis=0).max() <= stats.binom.ppf(0.9999, 100, level), level


def test_a_change_of_a_small_group_is_seen() -> None:
    rng, nodes = np.random.default_rng(8), np.repeat([1, 2, 3], [600, 25, 15])
    calibration = GroupedCalibration.of(LEVELS[nodes] + rng.normal(size=640), None, nodes, GROUPS)
    window, live = Window(calibration, size=1000, alpha=0.05), np.repeat([1, 2], [300, 300])
    rows = Scores(LEVELS[live] + rng.normal(size=600) + 1.5 * (live == 2), None, None, live)
    window.add(rows, calibration.verdict(rows).p_value, np.zeros(600))
    assert window.figures().drift.ks_p_value < 0.01


def test_with_folds_the_verdicts_of_most_folds_say_how_many_anomalies_to_expect() -> None:
    rng = np.random.default_rng(10)
    groups = Groups(by=("site",), least_rows=17, groups=(Group(values=("a",), n=55, pooled=False),))
    nodes = [np.repeat([1, 0], [size, more]) for size, more in ((17, 30), (19, 10), (19, 10))]  # the largest has fewest
    calibration = GroupedCalibration.of_folds([rng.normal(size=len(own)) for own in nodes], [None] * 3, nodes, groups)
    window = Window(calibration, size=1000, alpha=0.05)
    live = np.ones(400, dtype=np.int64)
    score = rng.normal(size=400)
    rows = Scores(score, np.repeat(-score[:, None], 3, axis=1), None, live)
    window.add(rows, calibration.verdict(rows).p_value, np.zeros(400))
    figures = window.figures()
    assert figures.anomaly_rate > 0.0
    assert figures.anomaly_rate_p_value > 0.01
