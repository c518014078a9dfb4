"""The extrapolated p-value, p_value_tail, and the fit of its generalised Pareto tail."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import beta, expon, genpareto, lognorm, t

from vaekit.bundle import Calibration, Manifest, open_bundle, publish
from vaekit.bundle.comparison import tie_ceiling, tie_floor
from vaekit.bundle.tail import MIN_EXCEEDANCES, Tail, fit_tail
from vaekit.bundle.write import calibration_file
from vaekit.errors import FormatError

SHAPES = (-0.4, -0.1, 0.0, 0.3, 1.0)


def calibration_of(scores: np.ndarray) -> Calibration:
    held_out = Calibration.of(scores)
    return replace(held_out, tail=fit_tail(held_out.scores))


def drawn(shape: float, n: int, seed: int = 0) -> np.ndarray:
    return genpareto(shape, scale=2.0).rvs(n, random_state=np.random.default_rng(seed))


@pytest.mark.parametrize("shape", SHAPES)
def test_the_fit_finds_the_tail_that_scores_were_drawn_from(shape: float) -> None:
    tail = fit_tail(np.sort(drawn(shape, 100_000)))
    assert tail is not None
    assert tail.exceedances == 949  # ceil(3 sqrt(n))
    assert tail.shape == pytest.approx(shape, abs=4 * max(1.0, 1 + shape) / np.sqrt(949))
    assert tail.scale == pytest.approx(2.0 + shape * tail.threshold, rel=0.2)


@pytest.mark.parametrize("shape", SHAPES)
def test_survival_is_that_of_the_generalised_pareto_distribution_for_any_threshold(shape: float) -> None:
    tail = Tail(shape=shape, scale=2.0, threshold=5.0, exceedances=50, floor=1e-9)
    law = genpareto(shape, loc=5.0, scale=2.0)
    scores = np.linspace(4.0, 12.0, 50)
    for beyond in (5.0, 6.5):
        want = np.minimum(1.0, law.sf(scores) / law.sf(beyond))
        np.testing.assert_allclose(tail.survival(scores, beyond), want, rtol=1e-9, atol=1e-300)


@pytest.mark.parametrize("shape", SHAPES)
def test_it_equals_the_p_value_up_to_the_highest_score_and_then_falls_continuously(shape: float) -> None:
    calibration = calibration_of(drawn(shape, 500))
    last = tie_ceiling(calibration.scores[-1])
    within = np.r_[calibration.scores, last - np.linspace(0, 1, 50)]
    np.testing.assert_array_equal(calibration.p_value_tail(within), calibration.p_value(within))
    beyond = last + np.geomspace(1e-9, 1e300, 400)
    far = calibration.p_value_tail(beyond)
    assert (np.diff(far) <= 0).all()
    assert far[0] == pytest.approx(1 / 501, rel=1e-6)
    assert (far <= calibration.p_value(beyond)).all()
    assert far[-1] == calibration.tail.floor > 0


def test_beyond_the_end_of_the_tail_it_is_the_floor_and_not_0() -> None:
    calibration = calibration_of(drawn(-0.4, 1000))
    tail = calibration.tail
    assert tail is not None
    assert tail.shape < 0
    end = tail.threshold - tail.scale / tail.shape
    assert (calibration.p_value_tail([end, end + 1.0, 1e12]) == tail.floor).all()
    assert tail.floor == pytest.approx(95 / 1001 * np.exp(-np.sqrt(95)))


def test_the_p_value_of_a_novel_row_is_not_extrapolated() -> None:
    tail = fit_tail(np.sort(drawn(0.1, 200)))
    calibration = replace(Calibration.of(drawn(0.1, 200)), tail=tail)
    far = calibration.p_value_tail([1e3, 1e3, 0.0, np.nan], [False, True, True, True])
    assert far[0] < 1 / 201
    np.testing.assert_allclose(far[1:], 1 / 201)


@pytest.mark.parametrize("n", [1, 2, 72, 95])
def test_there_is_no_tail_if_there_are_too_few_scores(n: int) -> None:
    calibration = calibration_of(drawn(0.1, n))
    assert calibration.tail is None
    assert calibration.p_value_tail([1e3]) is None
    assert fit_tail(np.sort(drawn(0.1, 96))).exceedances == MIN_EXCEEDANCES


def test_scores_that_tie_with_the_threshold_are_not_exceedances() -> None:
    scores = np.r_[np.zeros(85), np.ones(15)]
    assert fit_tail(scores) is None
    assert fit_tail(np.zeros(10_000)) is None
    tail = fit_tail(np.sort(np.r_[np.zeros(970), drawn(0.1, 30)]))
    assert (tail.threshold, tail.exceedances) == (0.0, 30)


@pytest.mark.parametrize(
    "scores", [np.arange(1000.0), np.repeat(np.arange(50.0), 40), np.r_[np.zeros(475), np.ones(25)]]
)
def test_scores_on_a_grid_have_a_tail(scores: np.ndarray) -> None:
    calibration = calibration_of(scores)
    far = calibration.p_value_tail(calibration.scores[-1] + np.arange(0.0, 100.0, 0.5))
    assert (np.diff(far) <= 0).all()
    assert (far >= calibration.tail.floor).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_the_alarm_rate_is_exact_if_the_fitted_tail_is_the_true_one(shape: float) -> None:
    """P(p_value_tail <= a) <= a also for a below 1 / (n + 1), on average over calibrations."""
    n, sets, law = 100, 4000, genpareto(shape, scale=2.0)
    tail = Tail(shape=shape, scale=2.0, threshold=0.0, exceedances=50, floor=1e-12)
    highest = law.rvs((sets, n), random_state=np.random.default_rng(1)).max(axis=1)
    highest = np.array([tie_ceiling(h) for h in highest])  # up to there the highest held-out score counts as a tie
    for a in (1 / (n + 1), 0.3 / (n + 1), 0.01 / (n + 1)):
        # p_value_tail <= a if P(S > s | S > last) <= a (n + 1); a row has such a score with P(S > last) a (n + 1)
        grid = law.isf(law.sf(highest) * a * (n + 1)) + 1e-9
        some = [
            replace(Calibration.of([float(tie_floor(h))] * n), tail=tail).p_value_tail([s])[0]
            for h, s in zip(highest[:50], grid, strict=False)
        ]
        np.testing.assert_allclose(some, a, rtol=1e-5)
        rates = law.sf(grid)
        assert rates.mean() == pytest.approx(a, abs=4 * rates.std() / np.sqrt(sets))


@pytest.mark.parametrize(
    ("law", "least", "most"), [(expon(), 0.5, 2.0), (t(4), 0.5, 2.5), (lognorm(1), 0.5, 2.0), (beta(2, 1), 0.0, 1.0)]
)
def test_the_alarm_rate_is_about_right_at_a_tenth_of_the_smallest_p_value(law, least, most) -> None:
    """The rate is above a for heavy tails, by the factors asserted here, and below a for bounded ones."""
    rng, n, rates = np.random.default_rng(2), 400, []
    a = 0.1 / (n + 1)
    for _ in range(400):
        calibration = calibration_of(law.rvs(n, random_state=rng))
        last = calibration.scores[-1]
        beyond = last + np.geomspace(1e-6, 1e6, 2000)
        first = beyond[np.argmax(calibration.p_value_tail(beyond) <= a)]
        rates.append(law.sf(first))
    assert least * a <= np.mean(rates) <= most * a


def test_a_tail_is_stored_with_its_scores_and_older_manifests_have_none(tiny, tmp_path) -> None:
    held_out = Calibration.of(drawn(0.2, 300))
    signed, content = calibration_file({(2, "float32"): held_out}, "none")
    manifest = tiny.manifest.model_copy(update={"calibration": signed})
    publish(tmp_path, manifest, {**tiny.files, signed.file: content})
    with open_bundle(tmp_path / "tiny" / "1") as bundle:
        (read,) = bundle.calibrations().values()
    assert read.tail == fit_tail(held_out.scores)
    older = json.loads(manifest.to_json())
    for entry in older["calibration"]["entries"]:
        del entry["tail"], entry["thresholds"]
    (entry,) = Manifest.model_validate({**older, "format": "1.0"}).calibration.entries
    assert (entry.tail, entry.thresholds) == (None, ())


@pytest.mark.parametrize(
    ("novel", "said"),
    [
        (0, "the tail ends before the highest held-out score"),
        (300, "calibration: a tail, but no held-out score of a row that is not novel"),
    ],
)
def test_a_tail_that_does_not_begin_at_the_highest_held_out_score_is_refused(tiny, tmp_path, novel, said) -> None:
    held_out = Calibration.of(drawn(0.2, 300), np.arange(300) < novel)
    signed, content = calibration_file({(2, "float32"): held_out}, "none")
    wrong = Tail(shape=-1.0, scale=1.0, threshold=0.0, exceedances=30, floor=1e-3)
    entries = tuple(entry.model_copy(update={"tail": wrong}) for entry in signed.entries)
    signed = signed.model_copy(update={"entries": entries})
    publish(tmp_path, tiny.manifest.model_copy(update={"calibration": signed}), {**tiny.files, signed.file: content})
    with (
        open_bundle(tmp_path / "tiny" / "1") as bundle,
        pytest.raises(FormatError, match=said),
    ):
        bundle.calibrations()
