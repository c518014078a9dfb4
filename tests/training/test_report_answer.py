"""The opening of a report: its verdict, figures, rows and commands are those of the model."""

from __future__ import annotations

import re
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.training.models import table
from tests.training.reported import facts_of, run_of
from tests.training.test_report import Page
from vaekit.bundle import Calibration
from vaekit.bundle.manifest import Metric
from vaekit.bundle.ranking import auroc
from vaekit.chart_style import LIGHT
from vaekit.runtime import Bound
from vaekit_training.config import make_config
from vaekit_training.report.answer.anomalies import STRIP_WIDTH, heat_colours, strip
from vaekit_training.report.answer.next_steps import commands, rows_of_a_fold
from vaekit_training.report.answer.opening import roc, tiles
from vaekit_training.report.answer.shares import Share, percent
from vaekit_training.report.answer.verdict import Rates, verdict_of
from vaekit_training.report.facts import gather
from vaekit_training.report.measured.judged import Judged
from vaekit_training.report.measured.planted import SHIFTS, Fault, plant
from vaekit_training.report.page import card, html, sections
from vaekit_training.run import run

BAND, DOT = r'class="f1" d="M([\d.]+) [\d.]+V[\d.]+H([\d.]+)V', r'class="dots s2 large" d="M0 0m([\d.]+)()'
TABLE, IMAGES = "gaussian, one scale", "bernoulli, grey images"


USUAL = Share(4, 100)


def rates(
    detected: Share | None, false_alarms: Share | None = USUAL, *, rows: int = 99, promised: float = 0.05
) -> Rates:
    return Rates(false_alarms, detected, None if detected is None else 0.95, promised, rows, independent=True)


@pytest.mark.parametrize(
    ("found", "grade", "said"),
    [
        (rates(Share(90, 100)), "Good", "it finds 90 % of the labelled anomalies (90 of 100 rows; 95 % interval"),
        (rates(Share(80, 100)), "Good", "at most 5 % of normal rows"),
        (rates(Share(79, 100)), "Fair", "79 %"),
        (rates(Share(30, 100)), "Weak", "30 %"),
        (rates(Share(6, 100)), "No better than chance", "6 %"),
        (rates(Share(1, 1)), "No better than chance", "100 %"),  # its interval reaches down to 2.5 %
        (rates(Share(90, 100), promised=0.075), "Good", "at most 7.5 % of normal rows"),
        (rates(None), "Not measured", "without labelled anomalies"),
        (rates(Share(9, 9), rows=18), "No alarms yet", "18 calibration rows cannot tell alpha = 0.05"),
        (rates(Share(99, 100), Share(25, 100)), "Too many alarms", "25 % of normal test rows are flagged"),
        (rates(None, Share(25, 100)), "Too many alarms", "the calibration promises at most 5 %"),
    ],
    ids=["good", "just good", "fair", "weak", "chance", "one row", "folds", "no labels", "few", "alarms", "both"],
)
def test_the_verdict_says_what_the_figures_say(found: Rates, grade: str, said: str) -> None:
    verdict = verdict_of(found)
    assert verdict.grade == grade
    assert said in verdict.sentence.replace("\u00a0", " ")


def test_planted_faults_stand_in_for_labels() -> None:
    planted = [Fault(None, 20, 100), Fault(2.0, 50, 100), Fault(8.0, 93, 100)]
    (_, trial) = verdict_of(rates(None), planted).more
    trial = trial.replace("\u00a0", " ")
    assert "it flags 20 % of test rows with one cell from another row, and 93 % of test rows with one number 8" in trial
    (alone,) = verdict_of(rates(None), planted[:1]).more[1:]
    assert alone.replace("\u00a0", " ").endswith("it flags 20 % of test rows with one cell from another row.")


def test_without_labels_the_rate_is_an_average_with_the_range_of_this_model() -> None:
    sentence = verdict_of(replace(rates(None), own=(0.021, 0.094))).sentence.replace("\u00a0", " ")
    assert "on average at most 5 % of normal rows are flagged" in sentence
    assert sentence.endswith("for this one model, calibrated on 99 rows, between 2.1 % and 9.4 %.")


def test_overlapping_windows_get_no_interval() -> None:
    windows = replace(rates(Share(90, 100), Share(25, 100)), independent=False)
    assert "interval" not in verdict_of(windows).sentence
    assert verdict_of(windows).grade == "Good"  # neighbours raise alarms together, so 25 of 100 tells little


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0 %"), (0.0004, "0.04 %"), (0.0423, "4.2 %"), (0.1, "10 %"), (0.953, "95 %"), (0.994, "99.4 %"),
     (0.9996, "over 99.9 %"), (1, "100 %")],
)  # fmt: skip
def test_only_all_rows_are_a_hundred_percent(share: float, text: str) -> None:
    assert percent(share).replace("\u00a0", " ") == text


@pytest.mark.parametrize("seed", range(5))
def test_the_area_below_the_roc_curve_is_the_auroc(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rank = rng.integers(0, 30, 90).astype(float)  # with ties
    labelled = np.arange(90) >= 60
    judged = Judged(np.arange(90), labelled, rank, rank, np.ones(90), np.zeros(90, bool), np.zeros(90, bool), None)
    normal, anomalies = judged.roc()
    area = np.sum(np.diff(normal) * (anomalies[1:] + anomalies[:-1]) / 2)
    assert area == pytest.approx(auroc(rank[~labelled], rank[labelled])[0])
    assert (normal[0], anomalies[0], normal[-1], anomalies[-1]) == (0, 0, 1, 1)
    assert (np.diff(normal) >= 0).all()
    assert (np.diff(anomalies) >= 0).all()


def test_the_verdicts_are_those_of_the_calibration() -> None:
    run, model, manifest, held_out = run_of(TABLE)
    facts = gather(run, model, manifest, held_out)
    for which, index in ((~facts.judged.labelled, run.splits.test), (facts.judged.labelled, run.splits.anomalies)):
        want = held_out.verdict(model.bound(run.rows.x[index]))
        np.testing.assert_array_equal(facts.judged.index[which], index)
        np.testing.assert_allclose(facts.judged.p_value[which], want.p_value)
    assert not facts.can_flag  # 8 calibration rows


def test_the_rows_shown_are_the_most_anomalous_with_their_reasons() -> None:
    run, model, manifest, held_out = run_of(TABLE)
    facts = gather(run, model, manifest, held_out)
    top, order = facts.cases.top, np.lexsort((-facts.judged.rank, facts.judged.p_value))
    assert [case.row for case in top] == facts.judged.index[order[:10]].tolist()
    page = Page(html(facts, sections(facts), manifest))
    for case in (*top, *facts.cases.normal):
        explained = model.explain(run.rows.x[case.row or 0][None], top=3).cells
        assert explained is not None
        want = explained[0]
        odd = [c for c in want if c["relief"] > 0 and not c["low"] <= c["value"] <= c["high"]]
        assert [cell["feature"] for cell in case.cells or ()] == [c["feature"] for c in odd]
        assert [cell["value"] for cell in case.cells or ()] == [pytest.approx(c["value"]) for c in odd]
        assert f"row {case.row} " in page.words
    assert all(not case.labelled for case in facts.cases.normal)
    assert page.words.count("labelled anomaly") == sum(case.labelled for case in top)


def test_a_row_without_an_odd_cell_says_so() -> None:
    facts = facts_of(TABLE)
    bare = tuple(replace(case, cells=(), flagged=True) for case in facts.cases.top)
    shown = replace(facts, cases=replace(facts.cases, top=bare))
    words = Page(html(shown, sections(shown), facts.manifest)).words
    assert words.count("No single cell stands out: its values are unusual together.") == len(bare)


def test_an_image_is_shown_with_what_is_expected_and_a_heatmap() -> None:
    facts = facts_of(IMAGES)
    found = Page(html(facts, sections(facts), facts.manifest))
    alts = [img["alt"] or "" for img in found.all("img")]
    assert [alt for alt in alts if alt.endswith("the heatmap")] == [
        f"image {case.row}: the image, what is expected, and the heatmap"
        for case in (*facts.cases.top, *facts.cases.normal)
    ]
    white, blue, red = heat_colours(np.array([[0.0, -1.0, 1.0]]))[0]
    channels = {name: [int(LIGHT[name][i : i + 2], 16) for i in (1, 3, 5)] for name in ("page", "c1", "c2")}
    assert (white.tolist(), blue.tolist(), red.tolist()) == (channels["page"], channels["c1"], channels["c2"])


def test_an_image_of_a_folder_is_named_by_its_file() -> None:
    facts = facts_of(IMAGES)
    top = tuple(replace(case, id=f"odd/{i}.png") for i, case in enumerate(facts.cases.top))
    shown = replace(facts, cases=replace(facts.cases, top=top))
    words = Page(html(shown, sections(shown), facts.manifest)).words
    for case in top:
        assert f"image {case.row} (file {case.id})" in words


@pytest.mark.parametrize("kind", [TABLE, IMAGES])
def test_rows_can_be_left_out(kind: str) -> None:
    facts = facts_of(kind, "privacy.report_rows=false")
    page = Page(html(facts, sections(facts), facts.manifest))
    assert "The rows are not shown, because privacy.report_rows is false." in page.words
    assert not page.all("li") or "p-value 0" not in page.words
    assert not any(
        "test images" in (img["alt"] or "") and "reconstruction" in (img["alt"] or "") for img in page.all("img")
    )


def test_a_planted_fault_is_one_cell_of_a_row() -> None:
    run, model, _, _ = run_of("gaussian, one scale")
    many = np.concatenate([run.rows.x[run.splits.test]] * 8)
    many += 1e-3 * np.random.default_rng(0).normal(size=many.shape)  # no two cells are equal
    seen: list[NDArray[np.float64]] = []

    def bound_checked(rows: NDArray[np.float64]) -> Bound:
        seen.append(rows)
        return model.bound_checked(rows)

    held_out = Calibration.of(model.bound(many).score)
    spied = SimpleNamespace(spec=model.spec, bound_checked=bound_checked)
    found = plant(spied, held_out, many, seed=0)  # type: ignore[arg-type]  # it has what is used of a model
    assert [fault.size for fault in found] == [None, *SHIFTS]
    std = many.std(axis=0)
    for fault, rows in zip(found[1:], seen[1:], strict=True):
        changed = rows != many
        assert (changed.sum(axis=1) == 1).all()
        np.testing.assert_allclose((rows - many)[changed], (fault.size * std)[np.argwhere(changed)[:, 1]])
        want = held_out.verdict(model.bound_checked(rows), 0.05).is_anomaly
        assert want is not None
        assert fault.flagged == want.sum()
    (at, d), swapped = np.nonzero(seen[0] != many), seen[0]
    assert sorted(at) == list(range(found[0].rows)) == list(range(len(many)))
    assert all(swapped[i, column] in many[:, column] for i, column in zip(at, d, strict=True))


def test_nothing_is_planted_where_nothing_can_be_flagged() -> None:
    run, model, _, held_out = run_of(TABLE)
    assert plant(model, held_out, run.rows.x[run.splits.test], seed=0) == ()  # 8 calibration rows


@pytest.mark.parametrize("value", [-1e9, 0.2, 1.0, 1.5, 1.8, 2.0, 3.0, 1e9])
def test_the_dot_of_a_cell_is_beside_the_band_of_what_is_expected(value: float) -> None:
    drawn = strip({"feature": "load", "value": value, "expected": 1.5, "low": 1.0, "high": 2.0, "probability": None})
    (left, right), (dot,) = (
        [float(x) for found in re.findall(pattern, drawn) for x in found if x]
        for pattern in (BAND, DOT)
    )  # fmt: skip
    assert 0 <= dot <= STRIP_WIDTH
    inside = np.clip(dot, left, right)
    assert (dot < inside, dot > inside) == (value < 1.0, value > 2.0)
    assert (dot - left) / (right - left) == pytest.approx(value - 1.0, abs=0.05) or not 1.0 <= value <= 2.0
    assert "load: " in drawn


@pytest.mark.parametrize(
    ("planted", "label", "note"),
    [
        (
            [Fault(None, 22, 100), Fault(2.0, 50, 100)],
            "of rows with a swapped cell flagged",
            "replaced by that of another row",
        ),
        (
            [Fault(2.0, 22, 100), Fault(8.0, 50, 100)],
            "of rows with a raised cell flagged",
            "raised by 2 standard deviations",
        ),
    ],
)
def test_the_tile_of_a_trial_can_be_read_alone(planted: list[Fault], label: str, note: str) -> None:
    facts = facts_of(TABLE)
    metrics = {name: one for name, one in facts.manifest.metrics.items() if name != "detection_rate"}
    shown = replace(facts, planted=planted, manifest=facts.manifest.model_copy(update={"metrics": metrics}))
    (tile,) = [tile for tile in tiles(shown) if tile.label == label]
    assert tile.value.replace("\u00a0", " ") == "22 %"
    assert tile.note == f"trial: in each of 100 test rows one cell was {note}"


def test_spots_that_glow_in_normal_images_are_explained() -> None:
    facts = facts_of(IMAGES)
    said = "Spots that glow in normal images are features that the model has not learnt"
    for labelled in (False, True):
        top = tuple(replace(case, labelled=labelled) for case in facts.cases.top)
        shown = replace(facts, cases=replace(facts.cases, top=top))
        assert (said in Page(html(shown, sections(shown), facts.manifest)).words) is not labelled


def test_a_category_has_no_chart() -> None:
    cell = {"feature": "a", "value": "x", "expected": "y", "low": None, "high": None, "probability": 0.9}
    assert strip(cell) == ""


def test_the_figures_of_the_opening_are_those_of_the_manifest() -> None:
    facts = facts_of(TABLE)
    metrics = {
        "auroc": Metric(value=0.876, n=16),
        "detection_rate": Metric(value=0.75, n=8),
        "false_alarm_rate": Metric(value=0.125, n=8),
    }
    manifest = facts.manifest.model_copy(update={"metrics": metrics})
    found = {tile.label: tile for tile in tiles(replace(facts, manifest=manifest))}
    assert found["of anomalies found"].value.replace("\u00a0", " ") == "75 %"
    assert "6 of 8 labelled anomalies" in found["of anomalies found"].note
    assert found["AUROC"].value == "0.876"
    assert "1 of 8 normal test rows" in found["false alarms"].note
    assert found["smallest p-value"].value == "0.111"
    assert f"AUROC {facts.judged.auroc:.3f}" in roc(facts).body


def test_the_card_opens_with_the_verdict_too() -> None:
    facts = facts_of(TABLE)
    written = card(facts, facts.manifest)
    assert written.index("## Is it good?") < written.index("## Model") < written.index("## Input")
    assert "**No alarms yet: 8 calibration rows cannot tell" in written


def test_commands_name_the_model_and_its_version() -> None:
    facts = facts_of(TABLE)
    lines = [command.line for command in commands(facts)]
    assert lines[0] == "vae score case new.csv scored.csv --explain 3 --summary summary.json"
    assert any(line.startswith("vae calibrate case normal.csv") for line in lines)
    assert any(line.endswith("--set data.folds=3") for line in lines)
    by_time = make_config(facts.run.config.model_dump(mode="json", exclude_none=True), ["data.split='time:c0'"])
    without_folds = commands(replace(facts, run=replace(facts.run, config=by_time)))
    assert any(command.line.endswith("--alpha 0.12") for command in without_folds)
    assert not any(line.startswith("vae evaluate") for line in lines)  # there are labels
    page = html(facts, sections(facts), facts.manifest.model_copy(update={"version": 7}))
    assert "VERSION" not in page


def test_the_rows_of_a_fold_are_those_that_the_command_holds_out() -> None:
    rows, tree = table(400), {"name": "k", "data": {"source": "table"}, "likelihood": {"name": "auto"}}
    one, three = (
        run(make_config(tree, overrides), device="cpu", rows=rows) for overrides in ([], ["data.folds=3"])
    )  # fmt: skip
    assert rows_of_a_fold(one) == three.splits.rows_per_p_value == 107
    by_time = replace(one, config=make_config(tree, ["data.split='time:c0'"]))
    assert rows_of_a_fold(by_time) == 0  # folds need rows at random


def test_every_warning_says_what_to_do() -> None:
    facts = facts_of(TABLE)
    words = Page(html(facts, sections(facts), facts.manifest)).words
    assert words.count("What to do:") == 2  # the warning of the run, and that there are few calibration rows
    assert "There are only 8 calibration rows; alpha = 0.05 needs at least 19." in words
