"""The p-value from fold models: the median over folds, its guarantee, and how the calibration is stored."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit.bundle import Calibration, FoldCalibration
from vaekit.bundle.arrays import read_archive
from vaekit.bundle.entries import calibration_of, check_folds
from vaekit.bundle.manifest import Graph, Tensor
from vaekit.bundle.write import calibration_file
from vaekit.errors import InputError, NotResolvable

Floats = NDArray[np.float64]
ALPHAS = (0.05, 0.1, 0.2)


@dataclass(frozen=True)
class Rows:
    """Scored rows."""

    score: Floats
    fold_elbo: Floats | None = None
    observed_count: NDArray[np.int64] | None = None


def calibration(sizes: tuple[int, ...] = (30, 29, 31), seed: int = 0) -> FoldCalibration:
    rng = np.random.default_rng(seed)
    return FoldCalibration.of([rng.normal(scale=1 + f, size=n) for f, n in enumerate(sizes)])


def test_the_p_value_is_the_median_over_folds() -> None:
    found, scores = calibration(), np.random.default_rng(1).normal(size=(200, 3)) * [1, 2, 3]
    each = np.stack([fold.p_value(scores[:, f]) for f, fold in enumerate(found.folds)], axis=1)
    np.testing.assert_array_equal(found.p_value(scores), np.median(each, axis=1))
    assert len(np.unique(each.argsort(axis=1)[:, 1])) == 3  # each fold gives the median of some row


def test_the_scores_to_compare_are_those_of_each_fold_model() -> None:
    elbo = np.arange(6.0).reshape(2, 3)
    rows = Rows(np.zeros(2), elbo)
    np.testing.assert_array_equal(calibration().scores_to_compare(rows), -elbo)
    np.testing.assert_array_equal(Calibration.of([1.0]).scores_to_compare(rows), [0.0, 0.0])


@pytest.mark.parametrize("alpha", [1 / 31, 0.05, 0.0667, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("sizes", [(30, 30, 30), (29, 30, 31), (30, 30, 29, 31, 32)])
def test_the_excess_over_the_thresholds_is_above_0_exactly_where_the_p_value_is_at_most_alpha(
    sizes: tuple[int, ...], alpha: float
) -> None:
    """This holds too if a fold has too few rows for alpha, and if scores tie with held-out scores."""
    found = calibration(sizes)
    scores = np.random.default_rng(2).normal(size=(500, len(sizes))) * 3
    scores[:30] = np.stack([fold.scores[:29][np.arange(30) % 29] for fold in found.folds], axis=1)
    scores[-1] = 1e6
    beyond = found.excess(scores, found.threshold(alpha)) > 0
    assert (beyond == (found.p_value(scores) <= alpha)).all()
    assert beyond[-1]
    assert not beyond.all()


def test_the_smallest_alpha_is_that_of_the_median_fold_and_is_reached() -> None:
    found = calibration((29, 30, 31))
    assert found.smallest_alpha == 1 / 31
    far = np.full((1, 3), 1e6)
    assert found.p_value(far) == found.smallest_alpha
    with pytest.raises(NotResolvable, match=r"alpha 0.03 is below .*, 0.0323, of 90 calibration rows in 3 folds"):
        found.check_alpha(0.03)
    assert (found.excess(far, found.threshold(0.03)) < 0).all()


def _rate(draw: object, folds: int, alpha: float, n: int = 199, sets: int = 4000) -> tuple[float, float]:
    """The rate at which new rows have p <= alpha, over new calibrations, and its standard error."""
    rng, hits = np.random.default_rng(3), []
    for _ in range(sets):
        scores: Floats = draw(rng, n + 1, folds)  # type: ignore[operator]  # a function, as parametrised
        held_out = FoldCalibration.of(list(scores[:n].T))
        hits.append(float(held_out.p_value(scores[n:])[0] <= alpha))
    return float(np.mean(hits)), float(np.std(hits) / np.sqrt(sets))


def same_scores(rng: np.random.Generator, n: int, folds: int) -> Floats:
    """All fold models give a row the same score."""
    return np.repeat(rng.normal(size=(n, 1)), folds, axis=1)


def independent_scores(rng: np.random.Generator, n: int, folds: int) -> Floats:
    """The scores of the fold models are independent."""
    return rng.normal(size=(n, folds))


def scores_in_pairs(rng: np.random.Generator, n: int, folds: int) -> Floats:
    """The worst case: exactly two of three fold models agree that a row is anomalous.

    Two fold models score the row as -u, u uniform, and the third, chosen at random, gives a low score. A fold model has
    p_f <= alpha if u <= 1.5 alpha and it is one of the two. The median is at most alpha whenever u <= 1.5 alpha.
    """
    assert folds == 3
    u, left_out = rng.random(n), rng.integers(0, 3, n)
    scores = np.repeat(-u[:, None], 3, axis=1)
    scores[np.arange(n), left_out] = -2.0 - rng.random(n)
    return scores


@pytest.mark.parametrize("alpha", ALPHAS)
@pytest.mark.parametrize(
    ("draw", "folds"), [(same_scores, 3), (independent_scores, 3), (independent_scores, 5), (scores_in_pairs, 3)]
)
def test_new_rows_are_flagged_at_most_at_the_guaranteed_rate(draw: object, folds: int, alpha: float) -> None:
    rate, error = _rate(draw, folds, alpha)
    assert rate <= 2 * folds / (folds + 1) * alpha + 4 * error
    if draw is same_scores:
        assert rate == pytest.approx(alpha, abs=4 * error)
    if draw is independent_scores:
        assert rate <= alpha + 4 * error


@pytest.mark.parametrize("alpha", ALPHAS)
def test_no_smaller_guarantee_holds_for_all_fold_models(alpha: float) -> None:
    """Some fold models reach the rate 1.5 alpha, so no smaller guarantee holds for all sets of three."""
    rate, error = _rate(scores_in_pairs, 3, alpha)
    assert rate == pytest.approx(1.5 * alpha, abs=4 * error)
    assert FoldCalibration.of([[0.0]] * 3).guarantee == 1.5


def test_a_novel_row_ranks_above_the_rows_of_every_fold_that_are_not() -> None:
    found = FoldCalibration.of([np.zeros(30)] * 3, [np.arange(30) < 1, None, None])
    p_value = found.p_value(np.full((2, 3), -5.0), [False, True])
    np.testing.assert_allclose(p_value, [1.0, 1 / 31])


def test_p_value_tail_is_the_median_over_folds_if_all_folds_have_a_tail(tmp_path: Path) -> None:
    scores = [np.random.default_rng(f).exponential(size=200) for f in range(3)]
    found = written_and_read(FoldCalibration.of(scores), tmp_path)
    far = np.array([[20.0, 25.0, 30.0], [0.1, 0.2, 0.3]])
    tail = found.p_value_tail(far)
    assert tail is not None
    each = np.stack([fold.p_value_tail(far[:, f]) for f, fold in enumerate(found.folds)], axis=1)
    np.testing.assert_array_equal(tail, np.median(each, axis=1))
    assert tail[0] < found.smallest_alpha
    assert tail[1] == found.p_value(far)[1]
    few = written_and_read(FoldCalibration.of([*scores[:2], scores[2][:50]]), tmp_path)
    assert few.p_value_tail(far) is None


def written_and_read(found: FoldCalibration, folder: Path) -> FoldCalibration:
    """The calibration after writing it to a bundle and reading it back."""
    signed, content = calibration_file({(4, "float32"): found}, "rows are exchangeable")
    (folder / signed.file).write_bytes(content)
    back = calibration_of(signed.entries[0], read_archive(folder / signed.file))
    assert isinstance(back, FoldCalibration)
    return back


def test_a_calibration_by_folds_is_kept_and_read_back_whole(tmp_path: Path) -> None:
    found = FoldCalibration.of([np.arange(20.0) * f for f in (1, 2, 3)], [np.arange(20) < 2, None, None])
    back = written_and_read(found, tmp_path)
    for one, other in zip(found.folds, back.folds, strict=True):
        np.testing.assert_array_equal(one.scores, other.scores)
        np.testing.assert_array_equal(one.novel_scores, other.novel_scores)
    assert [fold.novel_scores.size for fold in back.folds] == [2, 0, 0]


def test_the_manifest_has_the_guarantee_and_no_single_threshold() -> None:
    signed, _ = calibration_file({(4, "float32"): calibration((30, 29, 31))}, "rows are exchangeable")
    (entry,) = signed.entries
    assert entry.folds is not None
    assert [fold.n for fold in entry.folds] == [30, 29, 31]
    assert (entry.n, entry.rows_per_p_value, entry.guarantee, entry.thresholds, entry.tail) == (90, 30, 1.5, (), None)


def test_a_reader_without_support_for_folds_finds_no_scores(tmp_path: Path) -> None:
    signed, content = calibration_file({(4, "float32"): calibration()}, "rows are exchangeable")
    (tmp_path / signed.file).write_bytes(content)
    with pytest.raises(KeyError):
        calibration_of(signed.entries[0].model_copy(update={"folds": None}), read_archive(tmp_path / signed.file))


@pytest.mark.parametrize("columns", [None, 5])
@pytest.mark.parametrize("operation", ["elbo", "bound"])
def test_folds_are_refused_if_the_graph_does_not_output_as_many_scores(
    operation: Literal["elbo", "bound"], columns: int | None
) -> None:
    (entry,) = calibration_file({(4, "float32"): calibration()}, "rows are exchangeable")[0].entries
    outputs = [Tensor(name="elbo", dtype="float64", shape=("N",))]
    outputs += [Tensor(name="fold_elbo", dtype="float64", shape=("N", columns))] if columns else []
    graph = Graph(file="elbo.onnx", sha256="0" * 64, inputs=(), outputs=tuple(outputs))
    with pytest.raises(
        InputError, match=rf"elbo_k4_default has 3 folds, but the graph of {operation} outputs {columns or 0}"
    ):
        check_folds(entry, {operation: graph})


def test_an_even_number_of_folds_is_refused() -> None:
    with pytest.raises(InputError, match="4 folds, expected an odd number"):
        FoldCalibration.of([[0.0]] * 4)
