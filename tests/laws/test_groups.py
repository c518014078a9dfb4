"""With calibration groups, the rate of false alarms is at most alpha within each group that is not pooled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.kinds import Published, grouped_rows
from vaekit import Model
from vaekit.bundle import Calibration, FoldCalibration, GroupedCalibration, VectorSpec
from vaekit.bundle.groups import Group, Groups
from vaekit.bundle.tail import fit_tail
from vaekit.runtime import Bound
from vaekit.tabular import encode
from vaekit.tabular.groups import RowGroups, group_cells, make_groups

Floats = NDArray[np.float64]
ALPHAS = np.array([0.02, 0.05, 0.07, 0.1, 0.2, 1 / 3, 0.5, 0.9])
SCALES = np.array([1.0, 3.0, 10.0])  # of the scores in each group
SHARES = [0.5, 0.3, 0.2]
GROUPS = Groups(by=("site",), least_rows=1, groups=tuple(Group(values=(s,), n=1, pooled=False) for s in "abc"))
DRAWS: dict[str, Callable[[np.random.Generator, int], Floats]] = {
    "continuous": lambda rng, n: rng.exponential(size=n),
    "a tenth of them alike": lambda rng, n: np.maximum(rng.normal(size=n), -1.28),
    "five values": lambda rng, n: rng.integers(0, 5, n).astype(float),
}


@dataclass(frozen=True)
class Scored:
    """Scored rows and the nodes of their groups, 1 to 3."""

    score: Floats
    group_node: NDArray[np.int64]
    novel: NDArray[np.bool_] | None
    fold_elbo: Floats | None = None


def drawn(rng: np.random.Generator, n: int, draw: str, novel: float) -> Scored:
    """n rows; a row of a group with larger scores is also more often novel."""
    site = rng.choice(3, n, p=SHARES)
    score = DRAWS[draw](rng, n) * SCALES[site]
    return Scored(score, site + 1, rng.random(n) < novel * (1 + site) if novel else None)


def flagged(found: Calibration | FoldCalibration | GroupedCalibration, rows: Scored) -> Floats:
    """The share of the rows of each group that are flagged at each alpha, (3, A); NaN for a group without rows."""
    p_value = found.verdict(rows).p_value
    shares = np.full((3, ALPHAS.size), np.nan)
    for group in range(3):
        if (at := rows.group_node == group + 1).any():
            shares[group] = (p_value[at][:, None] <= ALPHAS).mean(axis=0)
    return shares


def check(rates: list[Floats], limit: Floats) -> Floats:
    """Check that the mean rate of each group over calibrations is at most the limit; returns the means, (3, A)."""
    found = np.array(rates)
    mean = np.nanmean(found, axis=0)
    error = np.nanstd(found, axis=0) / np.sqrt((~np.isnan(found)).sum(axis=0))
    assert (mean <= limit + 4 * error).all(), mean
    return mean


@pytest.mark.parametrize("novel", [0.0, 0.05])
@pytest.mark.parametrize("draw", list(DRAWS))
def test_normal_rows_of_each_group_are_flagged_with_a_probability_of_at_most_alpha(draw: str, novel: float) -> None:
    """Every calibration uses new rows, so that the rates are independent. One calibration for all rows fails."""
    rng, rates, together = np.random.default_rng(len(draw)), [], []
    for _ in range(2500):
        held_out, new = drawn(rng, 150, draw, novel), drawn(rng, 60, draw, novel)
        if np.bincount(held_out.group_node, minlength=4)[1:].min() == 0:
            continue
        own = GroupedCalibration.of(held_out.score, held_out.novel, held_out.group_node, GROUPS)
        rates.append(flagged(own, new))
        together.append(flagged(Calibration.of(held_out.score, held_out.novel), new))
    mean = check(rates, ALPHAS)
    if draw == "continuous" and not novel:
        assert (mean >= 0.5 * ALPHAS - 0.02).all()  # not by flagging nothing
    with pytest.raises(AssertionError):
        check(together, ALPHAS)


def test_in_a_group_of_n_held_out_rows_the_rate_is_exactly_the_rank_over_n_plus_1() -> None:
    rng, rates = np.random.default_rng(7), []
    sizes = np.array([40, 30, 20])
    nodes = np.repeat([1, 2, 3], sizes)
    for _ in range(4000):
        own = GroupedCalibration.of(rng.exponential(size=90) * SCALES[nodes - 1], None, nodes, GROUPS)
        new = drawn(rng, 40, "continuous", 0.0)
        rates.append(flagged(own, new))
    law = np.stack([np.floor(ALPHAS * (n + 1) + 1e-9) / (n + 1) for n in sizes])
    found = np.array(rates)
    error = np.nanstd(found, axis=0) / np.sqrt(len(found))
    assert (np.abs(np.nanmean(found, axis=0) - law) <= 4 * error + 1e-12).all()


def test_with_folds_the_rate_in_each_group_is_at_most_the_guarantee_times_alpha() -> None:
    """The scores by the fold models are independent: the worst case that a bound for any dependence must cover."""
    rng, rates, g = np.random.default_rng(8), [], 1.5
    for _ in range(1500):
        folds = [drawn(rng, 120, "continuous", 0.02) for _ in range(3)]
        if min(np.bincount(fold.group_node, minlength=4)[1:].min() for fold in folds) == 0:
            continue
        new = drawn(rng, 60, "continuous", 0.02)
        each = rng.exponential(size=(60, 3)) * SCALES[new.group_node - 1][:, None]
        new = replace(new, fold_elbo=-each)
        own = GroupedCalibration.of_folds(
            [fold.score for fold in folds], [fold.novel for fold in folds], [fold.group_node for fold in folds], GROUPS
        )
        rates.append(flagged(own, new))
    check(rates, g * ALPHAS)


def test_a_tail_never_raises_a_p_value_within_a_group() -> None:
    rng = np.random.default_rng(9)
    held_out = drawn(rng, 1000, "continuous", 0.0)
    plain = GroupedCalibration.of(held_out.score, None, held_out.group_node, GROUPS)
    tails = [fit_tail(plain.each[node].scores) for node in (1, 2, 3)]
    with_tails = [g.model_copy(update={"tails": (tail,)}) for g, tail in zip(GROUPS.groups, tails, strict=True)]
    found = replace(plain, groups=GROUPS.model_copy(update={"groups": tuple(with_tails)}))
    new = drawn(rng, 20_000, "continuous", 0.0)
    verdict = found.verdict(new)
    assert verdict.p_value_tail is not None
    assert (verdict.p_value_tail <= verdict.p_value).all()
    assert (verdict.p_value_tail < verdict.p_value).any()
    np.testing.assert_array_equal(verdict.p_value, plain.verdict(new).p_value)


@pytest.fixture(scope="module")
def scored(grouped: Published) -> tuple[Bound, Floats, Groups]:
    """9,000 new rows scored by a trained model; and their numbers of observed cells."""
    with Model.load(grouped.folder, device="cpu") as model:
        assert isinstance(model.spec, VectorSpec)
        x = encode(grouped_rows(9000, seed=31).tolist(), model.spec)
        found = model.bound(x)
        cells = group_cells(x, ("observed_cells",), model.spec)
        groups = make_groups([cells], ("observed_cells",), model.spec, 19)
        nodes = RowGroups(groups, model.spec).nodes_of_cells(cells)
        return replace(found, group_node=nodes), cells[:, 0], groups


def test_by_the_number_of_observed_cells_rows_with_and_without_gaps_are_flagged_at_most_at_alpha(
    scored: tuple[Bound, Floats, Groups],
) -> None:
    """Without groups, complete rows are flagged too often and rows with missing cells hardly ever (case T5)."""
    bound, observed, groups = scored
    rng, alpha, by_group, together = np.random.default_rng(3), 0.1, [], []
    assert bound.group_node is not None
    for _ in range(300):
        order = rng.permutation(len(observed))
        held_out, new = order[:400], order[400:1400]
        own = GroupedCalibration.of(bound.score[held_out], None, bound.group_node[held_out], groups)
        every = Calibration.of(bound.score[held_out])
        rows = Scored(bound.score[new], bound.group_node[new], None)
        by_group.append([(own.verdict(rows).p_value[observed[new] == n] <= alpha).mean() for n in (4, 5)])
        together.append([(every.verdict(rows).p_value[observed[new] == n] <= alpha).mean() for n in (4, 5)])
    rates = np.mean(by_group, axis=0)
    error = np.std(by_group, axis=0) / np.sqrt(300)
    assert (rates <= alpha + 4 * error).all()
    assert (rates > 0.08).all()
    assert np.mean(together, axis=0)[1] > 1.2 * alpha
