"""Training with calibration groups: the config, held-out rows of split, folds and float16, the report, a Detector."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from tests.kinds import GROUPED, GROUPED_NAMES, TINY, Published, grouped_rows
from vaekit import Detector, Model
from vaekit.bundle import Calibration, FoldCalibration, GroupedCalibration
from vaekit.errors import ConfigError, InputError
from vaekit_training.config import make_config
from vaekit_training.data.load import of_array
from vaekit_training.held_out import calibrated, groups_of
from vaekit_training.run import run, train
from vaekit_training.unused import unused

SMALL = [*TINY, "network.hidden=[8]", "training.steps=5"]


def rows_of(config: Any, n: int = 600) -> Any:
    return of_array(grouped_rows(n), GROUPED_NAMES, config=config.data, likelihood=config.likelihood)


def test_the_groups_are_those_of_the_calibration_rows(grouped: Published) -> None:
    trained = grouped.trained
    x, index = trained.rows.x, trained.splits.calibration
    with Model.load(grouped.folder, device="cpu") as model:
        groups, calibration = model.manifest.groups, model.calibration()
        scores = model.bound(x[index]).score
    assert groups is not None
    assert isinstance(calibration, GroupedCalibration)
    site, observed = x[index, 4], (~np.isnan(x[index])).sum(axis=1)
    levels = trained.rows.levels[4]
    assert levels is not None
    for node, group in enumerate(groups.groups, start=1):
        at = site == levels.index(str(group.values[0]))
        if len(group.values) == 2:
            at &= observed == group.values[1]
        assert (group.n, group.pooled) == (at.sum(), at.sum() < 30)
        if not group.pooled:
            own = calibration.each[node]
            assert isinstance(own, Calibration)
            np.testing.assert_allclose(own.held_out, np.sort(scores[at]), rtol=1e-5)
            assert len(group.thresholds) == 5
    assert {group.values[0] for group in groups.groups if group.pooled} == {"c"}


@pytest.mark.parametrize(
    ("by", "message"),
    [
        ("load", "calibration.by: column 'load' is of kind real; expected columns of the model that are categories"),
        ("sight", "calibration.by: the model has no column 'sight'"),
    ],
)
def test_other_columns_are_refused_before_the_training(by: str, message: str) -> None:
    config = make_config(GROUPED, [*SMALL, f"calibration.by=['{by}']", "training.steps=100000000"])
    with pytest.raises(InputError, match=message):
        run(config, device="cpu", rows=rows_of(config))


def test_images_are_refused(digit_images: Any) -> None:
    tree = {"name": "d", "data": {"source": "memory"}, "calibration": {"by": ["observed_cells"]}}
    with pytest.raises(InputError, match="images have no columns"):
        run(make_config(tree), device="cpu", rows=of_array(digit_images[:60]))


def test_a_name_in_place_of_a_list_is_explained_and_unused_settings_are_named() -> None:
    with pytest.raises(ConfigError, match=r"calibration\.by: 'site' is not a list: write \['site'\]"):
        make_config(GROUPED, ["calibration.by=site"])
    config = make_config({**GROUPED, "calibration": {"least_rows": 50}})
    assert any("calibration.least_rows = 50 has no effect: it needs calibration.by" in text for text in unused(config))


def test_folds_are_calibrated_by_group_within_each_fold(tmp_path: Path) -> None:
    config = make_config(GROUPED, [*SMALL, "data.folds=3"])
    manifest = train(config, tmp_path, device="cpu", rows=rows_of(config), draws_report=False)
    assert manifest.groups is not None
    names = manifest.groups.names.tolist()
    with Model.load(tmp_path / "grouped", device="cpu") as model:
        calibration, given = model.calibration(), grouped_rows(50, 9).tolist()
        found = model.elbo(given)
        assert isinstance(calibration, GroupedCalibration)
        for row in range(50):
            assert found.group is not None
            own = calibration.each[names.index(found.group[row])]
            assert isinstance(own, FoldCalibration)
            want = own.verdict(model.bound([given[row]])).p_value
            np.testing.assert_array_equal(found.p_value[row : row + 1], want)
    assert {"all rows", "site=a, observed_cells=5", "site=b, observed_cells=4"} <= set(found.group)


def test_float16_graphs_are_calibrated_by_the_same_groups(tmp_path: Path) -> None:
    config = make_config(GROUPED, [*SMALL, "export.half=true"])
    manifest = train(config, tmp_path, device="cpu", rows=rows_of(config, 900), draws_report=False)
    assert manifest.calibration is not None
    first, second = manifest.calibration.entries
    assert (first.precision, second.precision) == ("float32", "float16")
    assert first.groups is not None
    assert second.groups is not None
    assert first.groups.keys == second.groups.keys
    assert "float16_verdicts" in manifest.metrics
    with Model.load(tmp_path / "grouped", device="cpu", precision="float16") as model:
        assert "site=a, observed_cells=5" in model.elbo(grouped_rows(50).tolist()).group


def test_the_report_and_the_model_card_list_the_groups(tmp_path: Path) -> None:
    config = make_config(GROUPED, SMALL)
    train(config, tmp_path, device="cpu", rows=rows_of(config))
    card = (tmp_path / "grouped" / "1" / "report" / "model-card.md").read_text()
    page = (tmp_path / "grouped" / "1" / "report" / "report.html").read_text()
    for text in (card, page):
        assert "-values are within groups by site, observed_cells: 6 groups in the held-out rows" in text
        assert "all rows (pooled)" in text


def test_a_level_that_only_held_out_rows_have_is_a_group_of_its_own(grouped: Published) -> None:
    """A new row with this level is not novel to the bundle, so it is compared with these rows, of which all are."""
    trained = grouped.trained
    rows, splits = trained.rows, trained.splits
    x = rows.x.copy()
    levels = rows.levels[4]
    assert levels is not None
    x[x[:, 4] == levels.index("c"), 4] = levels.index("a")
    x[splits.calibration[:40], 4] = levels.index("c")
    changed = type(rows)(**{**vars(rows), "x": x})
    with Model.load(grouped.folder, device="cpu") as model:
        groups = groups_of(changed, splits, trained.config.calibration, model.spec)
        assert groups is not None
        found = calibrated(model, changed, splits, groups)
    assert isinstance(found, GroupedCalibration)
    own = found.each[groups.names.tolist().index("site=c")]
    assert isinstance(own, Calibration)
    assert (own.scores.size, own.novel_scores.size) == (0, 40)


def frame(n: int, seed: int) -> pd.DataFrame:
    return pd.DataFrame(grouped_rows(n, seed), columns=list(GROUPED_NAMES)).astype(
        {"load": float, "heat": float, "stops": int, "on": bool}
    )


@pytest.fixture(scope="module")
def detector() -> Detector:
    settings = {"training.steps": 20, "calibration": {"by": ["on", "site"]}, "network.hidden": [8]}
    return Detector(alpha=0.1, settings=settings).fit(frame(900, 1))


def test_a_detector_flags_by_group_and_names_the_groups(detector: Detector) -> None:
    x = frame(400, 2)
    names = detector.calibration_groups(x)
    at = x.site != "c"
    assert names[at].tolist() == [f"on={int(on)}, site={site}" for on, site in zip(x.on[at], x.site[at], strict=True)]
    p_value = detector.p_value(x)
    np.testing.assert_array_equal(detector.predict(x) == -1, p_value <= 0.1)
    np.testing.assert_array_equal(detector.decision_function(x) < 0, p_value <= 0.1)
    groups = detector.model_.manifest.groups
    assert groups is not None
    assert np.shape(detector.offset_) == (1 + len(groups.groups),)


def test_a_detector_without_groups_compares_with_all_rows() -> None:
    x = np.random.default_rng(0).standard_normal((100, 2))
    plain = Detector(alpha=0.1, settings=["training.steps=5"]).fit(x)
    assert plain.calibration_groups(x[:2]).tolist() == ["all rows", "all rows"]
