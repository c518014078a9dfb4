"""Calibration by groups: each row is compared with the held-out rows of its group; how the groups are stored."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydantic import ValidationError

from vaekit.bundle import Calibration, FoldCalibration, GroupedCalibration, VectorSpec
from vaekit.bundle.arrays import read_archive
from vaekit.bundle.entries import calibration_of
from vaekit.bundle.groups import Group, Groups, lines, sentence
from vaekit.bundle.input_spec import Column
from vaekit.bundle.manifest import CalibrationEntry
from vaekit.bundle.write import calibration_file
from vaekit.errors import InputError, NotResolvable
from vaekit.tabular.groups import RowGroups, check_by, group_cells, kinds_of, make_groups

SPEC = VectorSpec(
    columns=(
        Column(name="load"),
        Column(name="site", kind="category", levels=("a", "b", "c")),
        Column(name="line", kind="count"),
        Column(name="on", kind="binary", may_be_missing=True),
    )
)
ALPHAS = (0.02, 0.05, 0.1, 0.3)


@dataclass(frozen=True)
class Scored:
    """Scored rows and their nodes."""

    score: NDArray[np.float64]
    group_node: NDArray[np.int64] | None
    fold_elbo: NDArray[np.float64] | None = None
    novel: NDArray[np.bool_] | None = None

    def __getitem__(self, at: Any) -> Scored:
        return Scored(**{name: None if a is None else a[at] for name, a in vars(self).items()})


def rows(n: int, seed: int = 0) -> NDArray[np.float64]:
    """Rows of SPEC; site c is rare, and line 3 is rare at site b."""
    rng = np.random.default_rng(seed)
    site = rng.choice(3, n, p=[0.6, 0.38, 0.02])
    line = np.where(site == 0, rng.integers(1, 3, n), np.where(rng.random(n) < 0.03, 3, 1))
    on = np.where(rng.random(n) < 0.2, np.nan, rng.integers(0, 2, n))
    return np.stack([rng.normal(size=n), site, line, on], axis=1)


def scored(groups: Groups, n: int, seed: int) -> Scored:
    """Scores that are higher at site b, a twentieth of them of novel rows, many of them equal."""
    x, rng = rows(n, seed), np.random.default_rng(seed)
    score = np.round(rng.exponential(size=n) * (1 + 3 * x[:, 1]), 1)
    return Scored(score, RowGroups(groups, SPEC).nodes(x), novel=rng.random(n) < 0.05)


def groups_of(x: NDArray[np.float64], *by: str, least_rows: int = 19) -> Groups:
    return make_groups([group_cells(x, by, SPEC)], by, SPEC, least_rows)


def calibration(groups: Groups, n: int = 600) -> GroupedCalibration:
    held_out = scored(groups, n, 1)
    assert held_out.group_node is not None
    return GroupedCalibration.of(held_out.score, held_out.novel, held_out.group_node, groups)


GROUPS = groups_of(rows(600, 1), "site", "line")
CALIBRATION = calibration(GROUPS)


def test_groups_have_the_values_of_their_columns_and_small_ones_are_pooled() -> None:
    x = rows(600, 1)
    found = {group.values: group for group in GROUPS.groups}
    assert set(found) == {("a",), ("b",), ("c",), ("a", 1), ("a", 2), ("b", 1), ("b", 3), ("c", 1)}
    for (site, line), n in {("a", 1): 0, ("b", 3): 0, ("c", 1): 0}.items():
        n = int(((x[:, 1] == "abc".index(site)) & (x[:, 2] == line)).sum())
        assert found[site, line].n == n
        assert found[site, line].pooled == (n < 19)
    assert [found[values].pooled for values in (("b",), ("c",), ("b", 3))] == [False, True, True]
    names = dict(zip(GROUPS.names.tolist(), GROUPS.names[GROUPS.compared].tolist(), strict=True))
    assert names["site=b, line=1"] == "site=b, line=1"
    assert names["site=b, line=3"] == "site=b"  # fewer columns
    assert names["site=c, line=1"] == names["site=c"] == "all rows"  # then all rows
    assert "; pooled, with fewer than 19 rows each: site=b, line=3; site=c, line=1" in sentence(GROUPS)
    assert ("site=b, line=3", str(found["b", 3].n), "", "site=b (pooled)") in list(lines(GROUPS))


def test_a_row_is_in_the_group_of_its_values_or_of_the_first_of_them() -> None:
    x = np.array(
        [
            [0.0, 0.0, 2.0, 1.0],
            [9.0, 1.0, 3.0, np.nan],
            [0.0, 1.0, 7.0, 1.0],  # no such line at b
            [0.0, 3.0, 1.0, 1.0],  # an unseen level
            [0.0, 0.0, 1.5, 1.0],  # not a count
            [0.0, np.nan, 1.0, 1.0],  # no held-out row misses the site
            [0.0, 2.0, 1.0, 1.0],
        ]
    )
    of_rows = RowGroups(GROUPS, SPEC)
    names = GROUPS.names[of_rows.nodes(x)].tolist()
    want = ["site=a, line=2", "site=b, line=3", "site=b", "all rows", "site=a", "all rows", "site=c, line=1"]
    assert names == want
    assert [GROUPS.names[of_rows.nodes(row[None])[0]] for row in x] == want  # whatever the other rows are


def test_the_number_of_observed_cells_and_missing_cells_make_groups_too() -> None:
    x = rows(600, 2)
    groups = groups_of(x, "observed_cells", "on")
    assert {group.values for group in groups.groups} == {(3,), (4,), (3, None), (4, 0), (4, 1)}
    names = groups.names[RowGroups(groups, SPEC).nodes(x)]
    assert (names[np.isnan(x[:, 3])] == "observed_cells=3, on missing").all()
    assert (names[x[:, 3] == 1] == "observed_cells=4, on=1").all()


def test_the_p_value_is_that_of_the_held_out_rows_of_the_group_alone() -> None:
    held_out, new = scored(GROUPS, 600, 1), scored(GROUPS, 400, 3)
    got = CALIBRATION.verdict(new, 0.1)
    assert held_out.group_node is not None
    assert new.group_node is not None
    assert held_out.novel is not None
    inside = {"all rows": np.ones(600, dtype=bool)}
    for node, name in enumerate(GROUPS.names[1:], start=1):
        inside[str(name)] = GROUPS.inside(node)[held_out.group_node]
    for row in range(len(new.score)):
        at = inside[str(GROUPS.names[GROUPS.compared[new.group_node[row]]])]
        own = Calibration.of(held_out.score[at], held_out.novel[at])
        assert got.p_value[row] == own.verdict(new[row : row + 1]).p_value[0]
    assert got.group is not None
    assert got.group_pooled is not None
    assert set(got.group) == {"site=a, line=1", "site=a, line=2", "site=b, line=1", "site=b", "all rows"}
    assert set(got.group[got.group_pooled]) == {"site=b", "all rows"}
    np.testing.assert_array_equal(got.is_anomaly, got.p_value <= 0.1)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_the_verdict_of_a_row_does_not_depend_on_the_other_rows(size: int) -> None:
    new = scored(GROUPS, 200, 4)
    whole = CALIBRATION.verdict(new, 0.05)
    for start in range(0, 200, size):
        part = CALIBRATION.verdict(new[start : start + size], 0.05)
        for name in ("p_value", "is_anomaly", "group", "group_pooled"):
            np.testing.assert_array_equal(getattr(part, name), getattr(whole, name)[start : start + size])


@pytest.mark.parametrize("alpha", ALPHAS)
def test_a_row_that_is_not_novel_is_beyond_its_threshold_exactly_where_its_p_value_is_at_most_alpha(
    alpha: float,
) -> None:
    new = replace(scored(GROUPS, 500, 5), novel=None)
    beyond = CALIBRATION.excess(CALIBRATION.scores_to_compare(new), CALIBRATION.row_thresholds(new, alpha)) > 0
    np.testing.assert_array_equal(beyond, CALIBRATION.verdict(new).p_value <= alpha)
    assert CALIBRATION.threshold(alpha).shape == (1 + len(GROUPS.groups),)


def test_held_out_p_values_are_those_in_the_groups() -> None:
    held_out = scored(GROUPS, 600, 1)
    want = CALIBRATION.verdict(held_out).p_value
    found = CALIBRATION.held_out_p_values
    assert found is not None
    np.testing.assert_array_equal(np.sort(found), np.sort(want))


def test_an_alpha_that_only_some_groups_can_tell_is_explained_by_group() -> None:
    n = CALIBRATION.each[GROUPS.names.tolist().index("site=a, line=1")].n
    assert CALIBRATION.too_few(0.05) is None
    reason = CALIBRATION.too_few(1 / (n + 2))
    assert reason is not None
    assert f"site=a, line=1 ({n} rows)" in reason
    assert "so no row there can be an anomaly; use an alpha of at least" in reason
    with pytest.raises(NotResolvable, match=r"of 600 calibration rows, so no row can be"):
        CALIBRATION.check_alpha(0.001)


def by_folds(groups: Groups, sizes: tuple[int, ...] = (400, 300, 350)) -> GroupedCalibration:
    folds = [scored(groups, n, 10 + f) for f, n in enumerate(sizes)]
    return GroupedCalibration.of_folds(
        [fold.score for fold in folds], [fold.novel for fold in folds], [fold.group_node for fold in folds], groups
    )


def fold_groups(sizes: tuple[int, ...] = (400, 300, 350)) -> Groups:
    cells = [group_cells(rows(n, 10 + f), ("site", "line"), SPEC) for f, n in enumerate(sizes)]
    return make_groups(cells, ("site", "line"), SPEC, 19)


def test_with_folds_the_p_value_is_the_median_over_the_folds_within_the_group() -> None:
    groups = fold_groups()
    found, new = by_folds(groups), scored(groups, 300, 20)
    new = replace(new, fold_elbo=-np.stack([new.score, 1.1 * new.score, 0.9 * new.score], axis=1))
    got = found.verdict(new, 0.1)
    folds = [scored(groups, n, 10 + f) for f, n in enumerate((400, 300, 350))]
    assert new.group_node is not None
    for row in range(300):
        inside = groups.inside(int(groups.compared[new.group_node[row]]))
        own = FoldCalibration.of(
            [fold.score[inside[fold.group_node]] for fold in folds],
            [fold.novel[inside[fold.group_node]] for fold in folds],
        )
        assert got.p_value[row] == own.verdict(new[row : row + 1]).p_value[0]


def test_a_group_that_is_too_small_in_one_fold_is_pooled() -> None:
    cells = [np.zeros((30, 1)), np.zeros((30, 1)), np.zeros((18, 1))]
    assert make_groups(cells, ("site",), SPEC, 19).groups[0].pooled
    assert not make_groups(cells, ("site",), SPEC, 18).groups[0].pooled


@pytest.mark.parametrize("folds", [False, True])
def test_a_stored_calibration_gives_the_same_verdicts(folds: bool, tmp_path: Path) -> None:
    groups = fold_groups() if folds else GROUPS
    found = by_folds(groups) if folds else CALIBRATION
    signed, content = calibration_file({(4, "float32"): found}, "none")
    (tmp_path / "calibration.npz").write_bytes(content)
    (entry,) = type(signed).model_validate_json(signed.model_dump_json()).entries
    assert entry.groups is not None
    read = calibration_of(entry, read_archive(tmp_path / "calibration.npz"))
    new = scored(groups, 300, 21)
    new = replace(new, fold_elbo=-np.stack([new.score, 1.1 * new.score, 0.9 * new.score], axis=1))
    want, got = found.verdict(new, 0.05), read.verdict(new, 0.05)
    np.testing.assert_array_equal(got.p_value, want.p_value)
    np.testing.assert_array_equal(got.group, want.group)
    assert want.p_value_tail is None  # tails are fitted when the entry is made
    assert got.p_value_tail is not None
    assert (got.p_value_tail <= got.p_value).all()
    own = [group for group in entry.groups.groups if not group.pooled]
    assert all(len(group.tails) == (3 if folds else 1) for group in own)
    if not folds:
        node = entry.groups.names.tolist().index("site=b, line=1")
        thresholds = {one.alpha: one.score for one in entry.groups.groups[node - 1].thresholds}
        assert thresholds[0.1] == read.threshold(0.1)[node]


def test_an_older_reader_finds_the_calibration_on_all_rows(tmp_path: Path) -> None:
    """It ignores the field and the arrays that it does not know."""
    signed, content = calibration_file({(4, "float32"): CALIBRATION}, "none")
    (tmp_path / "calibration.npz").write_bytes(content)
    written = signed.entries[0].model_dump(mode="json")
    del written["groups"]
    old = calibration_of(CalibrationEntry.model_validate(written), read_archive(tmp_path / "calibration.npz"))
    held_out = scored(GROUPS, 600, 1)
    new = scored(GROUPS, 300, 22)
    want = Calibration.of(held_out.score, held_out.novel).verdict(new).p_value
    np.testing.assert_array_equal(old.verdict(new).p_value, want)


def test_an_entry_without_groups_is_written_as_before() -> None:
    signed, _ = calibration_file({(4, "float32"): Calibration.of(np.arange(30.0))}, "none")
    assert "groups" not in signed.entries[0].model_dump(mode="json")


@pytest.mark.parametrize("wrong", ["out of range", "negative", "of another shape"])
def test_groups_that_do_not_fit_the_scores_are_refused(wrong: str, tmp_path: Path) -> None:
    signed, content = calibration_file({(4, "float32"): CALIBRATION}, "none")
    (tmp_path / "calibration.npz").write_bytes(content)
    arrays = read_archive(tmp_path / "calibration.npz")
    nodes = arrays["elbo_k4_default_group"]
    arrays["elbo_k4_default_group"] = {
        "out of range": np.full_like(nodes, 99),
        "negative": np.full_like(nodes, -1),
        "of another shape": nodes[1:],
    }[wrong]
    with pytest.raises(InputError, match="group"):
        calibration_of(signed.entries[0], arrays)


@pytest.mark.parametrize("values", [[("a", 1)], [("a",), ("a",)], [("a",), ("a", 1), ("a", 1, 2)]])
def test_groups_that_are_no_tree_are_refused(values: list[tuple[str | int, ...]]) -> None:
    with pytest.raises(ValidationError, match="twice, too long, or before the group of one column less"):
        Groups(by=("site", "line"), least_rows=1, groups=tuple(Group(values=v, n=1, pooled=False) for v in values))


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (["load"], "--by: column 'load' is of kind real; expected columns of the model that are categories, counts or"),
        (["site", "site"], "--by: 'site' is given twice"),
        (["sight"], "--by: the model has no column 'sight'; expected columns of the model that are categories"),
    ],
)
def test_other_group_columns_are_refused(by: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_by(by, kinds_of(SPEC), "--by")
    check_by(["site", "line", "on", "observed_cells"], kinds_of(SPEC), "--by")
    with pytest.raises(InputError, match="images have no columns"):
        check_by(["site"], {}, "--by")


def test_too_many_groups_are_refused() -> None:
    x = rows(1200, 6)
    x[:, 2] = np.arange(1200)
    with pytest.raises(InputError, match=r"groups by line: 1,200 groups in the held-out rows, at most 1,000"):
        groups_of(x, "line")
