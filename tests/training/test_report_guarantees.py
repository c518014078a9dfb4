"""The page and the model card state the guarantees of a calibration."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.training.reported import facts_of
from vaekit.bundle import Calibration
from vaekit.bundle.manifest import CalibrationEntry
from vaekit.bundle.write import calibration_file
from vaekit_training.report import guarantees
from vaekit_training.report.page import card, html, sections


def entry(n: int) -> CalibrationEntry:
    held_out = Calibration.of(np.random.default_rng(0).normal(size=n))
    (found,) = calibration_file({(4, "float32"): held_out}, "Alike rows.")[0].entries
    return found


@pytest.mark.parametrize(("n", "resolved"), [(8, 0), (72, 2), (359, 4), (5000, 5)])
def test_the_chart_has_an_interval_for_each_alpha_that_the_rows_resolve(n: int, resolved: int) -> None:
    figure = guarantees.figure(entry(n))
    assert (figure is None) == (resolved == 0)
    if figure is not None:
        assert figure.body.count('class="line s1"') == figure.body.count('class="dots s2 large"') == resolved
        assert (resolved == 5) == (figure.caption == "")
    lines = guarantees.table(entry(n)).lines
    assert [line[1] != "not resolvable" for line in lines] == [False] * (5 - resolved) + [True] * resolved


def test_the_marks_of_the_chart_are_at_the_ends_of_the_interval() -> None:
    one = entry(999)
    figure = guarantees.figure(one)
    assert figure is not None
    (line,) = [t for t in one.thresholds if t.alpha == 0.001]  # the widest interval, which determines the axis
    top, bottom = 8.0, 216.0  # of the frame
    starts = re.findall(r'class="line s1" d="M[\d.]+ ([\d.]+)v(-[\d.]+)"', figure.body)
    low, up = (float(text) for text in starts[0])
    scale = (bottom - top) / (1.08 * line.rate_high / 0.001)
    assert low == pytest.approx(bottom - scale * line.rate_low / 0.001, abs=0.1)
    assert low + up == pytest.approx(bottom - scale * line.rate_high / 0.001, abs=0.1)


def test_page_and_card_list_thresholds_and_state_whether_there_is_a_tail() -> None:
    facts = facts_of("gaussian, one scale")
    n = facts.manifest.calibration.entries[0].n
    large = facts.manifest.calibration.model_copy(update={"entries": (entry(359),)})
    for calibration, said in (
        (facts.manifest.calibration, "There is no p_value_tail"),
        (large, "extrapolation without"),
    ):
        manifest = facts.manifest.model_copy(update={"calibration": calibration})
        written, shown = card(facts, manifest), html(facts, sections(facts), manifest)
        assert said in written
        for alpha, score, interval, rows in guarantees.table(calibration.entries[0]).lines:
            assert f"| {alpha} | {score} | {interval} | {rows} |" in written
        assert "true false-alarm rate, 95 %" in shown
    assert n < 9  # too few rows for a chart
    assert "False-alarm rates that are possible for this calibration" not in shown
