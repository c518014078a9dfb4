"""Figures open with the finding, show numbers and names letter by letter, and hold for every run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image
from scipy.stats import betabinom

from vaekit.bundle import Calibration
from vaekit.bundle.comparison import NOVEL
from vaekit.chart_style import LIGHT, chart_style
from vaekit.scoring.batch.summary import Summary
from vaekit.scoring.batch.summary_plot import draw, summary_figure
from vaekit.scoring.batch.tally import GroupCount, Tally, TopRow, binned, edges_for
from vaekit.scoring.evaluation import explain_plots
from vaekit.scoring.evaluation.explain_row import ImageExplanation, RowExplained
from vaekit.scoring.feedback.plot import feedback_figure
from vaekit.scoring.feedback.rates import Rate
from vaekit.scoring.feedback.report import Feedback, PartRates
from vaekit.scoring.figures import log_axis, save, stacked
from vaekit.storage.paths import storage_path

HELD_OUT = np.sort(np.random.default_rng(0).normal(size=99))


def words(figure: Figure) -> str:
    """All text of a figure, with spaces in place of line breaks."""
    return " ".join(" ".join(text.get_text().split()) for text in figure.findobj(Text) if text.get_visible())


def summary(scores: list[float], novel: int = 0, groups: Mapping[str, GroupCount] | None = None) -> Summary:
    """The summary of a run whose rows have these scores, calibrated by HELD_OUT; the first rows are novel."""
    calibration = Calibration.of(HELD_OUT)
    score, is_novel = np.array(scores), np.arange(len(scores)) < novel
    p = calibration.p_value(score, is_novel)
    values, counts = np.unique(p, return_counts=True)
    ranks = np.where(is_novel, NOVEL, score)
    order = np.argsort(-ranks)[:10]
    edges = edges_for(HELD_OUT)
    tally = Tally(
        edges=edges,
        rows=len(scores),
        anomalies=int((p <= 0.05).sum()),
        novel=novel,
        p_values=values,
        p_counts=counts.astype(np.int64),
        scores=binned(ranks, edges),
        top=[TopRow(float(ranks[i]), int(i), "rows.csv") for i in order],
        groups=dict(groups or {}),
    )
    return Summary(
        storage_path("out.csv"), "m@1", 1.0, 0.05, None, tally, HELD_OUT, calibration.held_out_p_values
    )  # fmt: skip


def test_titles_and_lists_begin_at_the_margin(tmp_path: Path) -> None:
    with chart_style():
        figure = summary_figure(summary([0.1 * i for i in range(40)]))
        save(figure, tmp_path / "run.png")
    wanted = ("The most anomalous rows", "Flagged rows by alpha", "1.", "P-values")
    found = [text for text in figure.findobj(Text) if text.get_text() in wanted]
    begin = [text.get_window_extent().x0 / figure.bbox.width for text in found]
    assert len(begin) == 4
    assert max(begin) - min(begin) < 0.005


@pytest.mark.parametrize(("above", "said"), [(9, "9 of 49 rows score above every held-out row; chance"), (0, None)])
def test_many_rows_above_every_held_out_row_are_named(above: int, said: str | None) -> None:
    found = summary([9.0] * above + np.linspace(-1, 1, 40).tolist())
    text = words(summary_figure(found))
    assert (said is None) == ("above every" not in text)
    assert (said or "") in text
    counted = found.to_json()["above_all_held_out"]
    assert (counted["rows"], counted["expected"]) == (above, pytest.approx((40 + above) / 100))


def test_scores_of_a_list_have_one_precision() -> None:
    found = summary([4629.48, 79.4359, 8.36188])
    assert "score 4,629.48 nats" in words(summary_figure(found))
    assert "score 8.36 nats" in words(summary_figure(found))


def test_no_figure_shows_the_source_of_math_text(tmp_path: Path) -> None:
    figure, (ax,) = stacked("a $finding$", ["price in $"], [1.0])
    log_axis(ax, (0.01, 0.05, 0.1))
    ax.plot([0.01, 0.1], [0.0, 1.0])
    ax.set_title("a $name$")
    save(figure, tmp_path / "figure.png")
    shown = [text.get_text() for text in figure.findobj(Text) if text.get_visible()]
    assert {"0.01", "0.05", "0.1", "a $name$", "a $finding$", "price in $"} <= set(shown)
    assert not any("math" in text for text in shown)


def test_a_summary_opens_with_what_is_flagged_and_what_chance_explains() -> None:
    figure = summary_figure(summary([0.0] * 90 + [9.0] * 8 + [50.5, 40.25]))
    shown = words(figure)
    assert shown.startswith("10 of 100 rows flagged at alpha = 0.05 Model m@1. 5 expected by chance if all were normal")
    low, high = (betabinom.ppf(q, 100, 5, 95) for q in (0.025, 0.975))
    assert f"({low:.0f} to {high:.0f} in 95 % of calibrations with 99 rows)" in shown
    assert "1. row 98: score 50.50 nats 2. row 99: score 40.25 nats 3. row 90: score 9.00 nats" in shown
    assert "10.00%" in shown  # the share of rows at alpha = 0.05
    assert "99 calibration rows" in shown
    assert "this run; 10.0% beyond the right end" in shown


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (summary([0.0]), "0 of 1 row flagged at alpha = 0.05 Model m@1. 0.05 expected by chance"),
        (summary([1e9, -1e6, 0.0]), "1. row 0: score 1e+09 nats"),
        (summary([0.0, 5.0, 1.0], novel=1), "1. row 0: novel"),
        (summary([0.0, 5.0, 1.0], novel=1), "1 of them novel: unlike every training row."),
        (
            summary([0.0, 5.0], groups={"a=$x$": GroupCount(2, 1, False), "a=y": GroupCount(0, 0, True)}),
            "a=$x$: 1 of 2 a=y: 0 of 0, pooled",
        ),
        (replace(summary([0.0]), reason="no calibration for K = 3"), "1 row scored, none with a p-value"),
        (replace(summary([0.0]), reason="no calibration for K = 3"), "no calibration for K = 3"),
        (replace(summary([5.0]), alpha_reason="alpha 0.05 is too small"), "alpha 0.05 is too small"),
        (replace(summary([0.0]), held_out=None, held_out_p_values=None), "No calibration scores to compare with."),
        (replace(summary([0.0]), tally=Tally()), "0 rows scored, none with a p-value"),
        (replace(summary([0.0]), tally=Tally(tolerated=3, rules=Counter(a=3))), "3 alarms were removed"),
    ],
    ids=["one", "huge", "novel", "novel count", "groups", "none", "why", "alpha", "no scores", "empty", "tolerated"],
)
def test_every_run_has_a_figure(found: Summary, said: str, tmp_path: Path) -> None:
    path = draw(found, tmp_path / "run.png")
    assert said in words(summary_figure(found))
    with Image.open(path) as image:
        assert image.width == 768  # twice a phone
        assert image.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def cell(name: str, value: Any, expected: Any, low: float | None, high: float | None, relief: float) -> dict[str, Any]:
    probability = 0.75 if low is None else None
    return {
        "feature": name, "value": value, "expected": expected, "low": low, "high": high, "relief": relief,
        "probability": probability, "p_value": 0.01,
    }  # fmt: skip


def explained(*cells: dict[str, Any], image: ImageExplanation | None = None) -> RowExplained:
    return RowExplained("m@1", "rows.csv", 7, 12.5, 0.01, 3.0, 0.2, list(cells), image)


@pytest.mark.parametrize(
    ("score", "shown"),
    [(10_790.31, "10,790.3"), (10_792.18, "10,792.2"), (-34.217, "-34.22"), (0.01234, "0.01234"), (1e15, "1e+15")],
)
def test_scores_that_differ_look_different(score: float, shown: str) -> None:
    assert replace(explained(), score=score).score_text == shown


def test_the_figure_of_a_row_opens_with_its_most_anomalous_cell() -> None:
    found = explained(
        cell("load", 90.0, 40.0, 30.0, 50.0, 8.5),
        cell("site", "b", "a", None, None, 2.0),
        cell("mode", None, "on", None, None, 1.0),
        cell("flow", 1e9, 0.0, 0.0, 0.0, 0.5),
        cell("rate", 3.0, 3.0, -1e6, 1e9, -0.25),
    )
    figure = explain_plots.cells_figure(found)
    shown = words(figure)
    assert shown.startswith("Row 7: load is 90, expected 40 m@1, rows.csv: score 12.5 nats, p-value 0.01; kl 3 nats")
    assert "load = 90 8.5 nats expected 40 (30 to 50)" in shown
    assert "site = b 2 nats expected a (75% likely)" in shown
    assert "mode = unseen level 1 nats expected on" in shown
    ax = figure.axes[1]
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [float(np.ravel(dot.get_xdata())[0]) for dot in dots] == [5.0, explain_plots.LINEAR]
    assert "rate" not in shown  # as expected
    assert all(dot.get_color() == LIGHT["c2"] for dot in dots)


def test_the_figure_of_a_row_without_cells_or_p_value_is_drawn(tmp_path: Path) -> None:
    explain_plots.draw(replace(explained(), p_value=None), tmp_path / "row.png")
    shown = words(explain_plots.cells_figure(replace(explained(), p_value=None)))
    assert shown.startswith("Row 7 of rows.csv: no p-value")


@pytest.mark.parametrize("channels", [1, 3])
def test_the_figure_of_an_image_has_the_heatmap_around_zero(channels: int, tmp_path: Path) -> None:
    heat = np.zeros((4, 5))
    heat[1, 2] = -7.0
    image = ImageExplanation(np.zeros((4, 5, channels), dtype=np.uint8), np.full((4, 5, channels), 300.0), heat)
    found = explained(image=image)
    explain_plots.draw(found, tmp_path / "image.png")
    figure = explain_plots.image_figure(found, image)
    assert words(figure).startswith("Image 7 of rows.csv: p-value 0.01")
    (shown,) = [drawn for drawn in figure.findobj(AxesImage) if drawn.get_clim()[0] < 0]
    assert isinstance(shown, AxesImage)
    assert shown.get_clim() == (-7.0, 7.0)
    np.testing.assert_array_equal(shown.get_array(), heat)


def part(false_alarms: Rate, detections: Rate, group: str | None = None, **flags: bool) -> PartRates:
    return PartRates(
        "m", 1, group, 0.05, 100, 10, false_alarms, detections, flags.get("chosen", False), flags.get("only", False),
        None, None,
    )  # fmt: skip


def test_the_figure_of_feedback_opens_with_the_rates() -> None:
    whole = part(Rate.of(2, 50), Rate.of(9, 10))
    found = Feedback(60, 60, 0, 0, 0, 0, 0, 0, 1, (whole,))
    shown = words(feedback_figure(found))
    assert shown.startswith("m@1: 2 of 50 normal rows flagged, 9 of 10 anomalies found 60 of 60 labels have a score.")
    assert "4.0% (2 of 50)" in shown
    assert "90.0% (9 of 10)" in shown


def test_the_figure_of_feedback_says_where_no_rate_follows() -> None:
    known = part(Rate.of(2, 2).unknown(), Rate.of(0, 0), only=True)
    shown = words(feedback_figure(Feedback(2, 2, 0, 0, 0, 0, 0, 0, 1, (known,))))
    assert "no rate follows from these labels" in shown
    assert "No such labels." in shown
    assert "label some of the other rows" in shown
    nothing = Feedback(2, 0, 0, 0, 0, 0, 0, 0, 1, ())
    assert words(feedback_figure(nothing)).startswith("No label has a score with a verdict")
