"""What the page and the model card state about a calibration's guarantees."""

from __future__ import annotations

import re

import numpy as np
import pytest

from tests.training.reported import facts_of
from vaekit.bundle import Calibration
from vaekit.bundle.manifest import CalibrationEntry
from vaekit.bundle.write import calibration_file
from vaekit_training.report import promises
from vaekit_training.report.page import card, html, sections


def entry(n: int) -> CalibrationEntry:
    held_out = Calibration.of(np.random.default_rng(0).normal(size=n))
    (found,) = calibration_file({(4, "float32"): held_out}, "Alike rows.")[0].entries
    return found


@pytest.mark.parametrize(("n", "told"), [(8, 0), (72, 2), (359, 4), (5000, 5)])
def test_the_chart_has_an_interval_for_each_alpha_that_can_be_told(n: int, told: int) -> None:
    figure = promises.figure(entry(n))
    assert (figure is None) == (told == 0)
    if figure is not None:
        assert figure.body.count('class="line s1"') == figure.body.count('class="dots s2"') == told
        assert (told == 5) == (figure.caption == "")
    lines = promises.table(entry(n)).lines
    assert [line[1] != "not resolvable" for line in lines] == [False] * (5 - told) + [True] * told


def test_the_marks_of_the_chart_stand_at_the_interval_and_the_mean() -> None:
    one = entry(999)
    figure = promises.figure(one)
    assert figure is not None
    (line,) = [t for t in one.thresholds if t.alpha == 0.001]  # k = 1: the widest, which the frame is made for
    top, bottom = 8.0, 216.0  # of the frame
    starts = re.findall(r'class="line s1" d="M[\d.]+ ([\d.]+)v(-[\d.]+)"', figure.body)
    low, up = (float(text) for text in starts[0])
    scale = (bottom - top) / (1.08 * line.rate_high / 0.001)
    assert low == pytest.approx(bottom - scale * line.rate_low / 0.001, abs=0.1)
    assert low + up == pytest.approx(bottom - scale * line.rate_high / 0.001, abs=0.1)


def test_page_and_card_list_thresholds_and_say_whether_there_is_a_tail() -> None:
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
        for alpha, score, interval, rows in promises.table(calibration.entries[0]).lines:
            assert f"| {alpha} | {score} | {interval} | {rows} |" in written
        assert "true false-alarm rate, 95 %" in shown
    assert n < 9  # so that the page, which is of the run, has no chart
    assert "False-alarm rate that this calibration may have" not in shown
