"""Scoring files with a model calibrated by groups, and calibrating by groups."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.kinds import GROUPED_NAMES, Published, grouped_rows
from tests.live import serving
from vaekit import Client, Model
from vaekit.bundle import Calibration, GroupedCalibration
from vaekit.bundle.manifest import FORMAT
from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.runtime import Bound
from vaekit.scoring import LocalScorer, RemoteScorer, publish_calibration, score_folder
from vaekit.scoring.batch.tally import GroupCount, Tally
from vaekit.tabular import encode

OLD = Path(__file__).parents[1] / "old"
ALPHA = 0.1


@pytest.fixture
def model(grouped: Published) -> Iterator[Model]:
    with Model.load(grouped.folder, device="cpu") as loaded:
        yield loaded


@pytest.fixture
def copied(grouped: Published, tmp_path: Path) -> Path:
    shutil.copytree(grouped.root, tmp_path / "models")
    return tmp_path / "models"


def rows(n: int, seed: int = 8) -> list[list[Any]]:
    """Rows of all sites, one of an unseen site, and one without a site."""
    found = grouped_rows(n, seed).tolist()
    found[0][4], found[1][4] = "z", None
    return found


def written(path: Path, given: list[list[Any]]) -> Path:
    table = pa.table({name: [row[d] for row in given] for d, name in enumerate(GROUPED_NAMES)})
    if path.suffix == ".csv":
        pyarrow.csv.write_csv(table, path)
    else:
        pq.write_table(table, path)
    return path


def vae(*words: str | Path) -> Any:
    done = CliRunner().invoke(app, [*map(str, words)])
    assert done.exit_code == 0, done.output
    return done


def own_p_values(model: Model, given: list[list[Any]]) -> list[float]:
    """The p-value of each row, computed with the held-out scores of the group that it should be compared with."""
    calibration = model.calibration()
    assert isinstance(calibration, GroupedCalibration)
    assert isinstance(calibration.every, Calibration)
    names, bound = calibration.groups.names[calibration.nodes[0].scores], model.bound(given)
    found = []
    for row, score in zip(given, bound.score, strict=True):
        own = f"site={row[4]}, observed_cells={sum(cell is not None for cell in row)}"
        scores = calibration.every.scores[names == own]
        found.append(Calibration.of(scores if scores.size >= 30 else calibration.every.scores).p_value([score])[0])
    return found


def test_python_results_name_the_group_of_each_row(model: Model) -> None:
    given = rows(300)
    for found in (model.elbo(given), model.bound(given), model.explain(given[:20], top=1)):
        assert found.group is not None
        assert found.group_pooled is not None
        assert set(found.group[found.group_pooled]) <= {"all rows"}
        assert found.group[:2].tolist() == ["all rows", "all rows"]
        for name, row in zip(found.group, given, strict=False):
            if row[4] in ("a", "b"):
                assert name == f"site={row[4]}, observed_cells={sum(cell is not None for cell in row)}"
    np.testing.assert_array_equal(model.elbo(given).p_value[2:], own_p_values(model, given[2:]))
    assert model.elbo(given, num_samples=3).group is None  # no calibration for this K, so no p-value


@pytest.mark.parametrize("size", [1, 3, 64])
def test_the_group_and_the_p_value_of_a_row_do_not_depend_on_the_batch(model: Model, size: int) -> None:
    given = rows(64)
    whole = model.bound(given)
    parts = Bound.concatenate([model.bound(given[at : at + size]) for at in range(0, 64, size)])
    np.testing.assert_array_equal(parts.p_value, whole.p_value)
    np.testing.assert_array_equal(parts.group, whole.group)


def test_vae_score_writes_the_group_and_whether_it_is_pooled_and_counts_both(
    grouped: Published, model: Model, tmp_path: Path
) -> None:
    given = rows(400)
    source = written(tmp_path / "rows.csv", given)
    flags = ["--models", grouped.root, "--alpha", ALPHA, "--batch-rows", "64", "--summary", tmp_path / "s.json"]
    done = vae("score", "grouped", source, tmp_path / "out.parquet", *map(str, flags))
    table, want = pq.read_table(tmp_path / "out.parquet"), model.bound(given)
    assert table["group"].to_pylist() == want.group.tolist()
    assert table["group_pooled"].to_pylist() == want.group_pooled.tolist()
    np.testing.assert_array_equal(table["p_value"].to_numpy(), want.p_value)
    is_anomaly = np.asarray(want.p_value) <= ALPHA
    summary = json.loads((tmp_path / "s.json").read_text())
    assert sum(one["rows"] for one in summary["groups"]) == 400
    for one in summary["groups"]:
        at = want.group == one["group"]
        counts = {"rows": int(at.sum()), "anomalies": int(is_anomaly[at].sum()), "pooled": one["group"] == "all rows"}
        assert one == {"group": one["group"], "expected": pytest.approx(ALPHA * at.sum()), **counts}
    n = (want.group == "all rows").sum()
    assert f"compared with all rows: {n} rows, " in done.output
    assert "pooled: too few calibration rows of their own" in done.output
    assert summary["drift"] is not None


def test_a_folder_of_parts_and_csv_have_the_groups_too(model: Model, tmp_path: Path) -> None:
    source = written(tmp_path / "rows.parquet", rows(300))
    found = score_folder(LocalScorer(model, alpha=ALPHA), source, tmp_path / "out", batch_rows=50)
    again = score_folder(LocalScorer(model, alpha=ALPHA), source, tmp_path / "out", batch_rows=50, resume=True)
    assert found.groups == again.groups
    assert found.groups is not None
    assert sum(one["rows"] for one in found.groups) == 300


def test_tallies_of_groups_add_up_and_old_ones_have_none() -> None:
    one = Tally(groups={"site=a": GroupCount(10, 1, False)})
    one.merge(Tally(groups={"site=a": GroupCount(5, 2, False), "all rows": GroupCount(3, 3, True)}))
    want = {"site=a": GroupCount(15, 3, False), "all rows": GroupCount(3, 3, True)}
    assert Tally.from_json(json.loads(json.dumps(one.to_json()))).groups == want
    old = one.to_json()
    del old["groups"]
    assert Tally.from_json(old).groups == {}


def test_a_service_gives_the_groups_of_this_process(grouped: Published, model: Model) -> None:
    given = rows(200)
    x = encode(given, model.spec)
    with serving(grouped.root) as url, Client(url) as client:
        there = RemoteScorer(client, "grouped", alpha=ALPHA)
        assert there.appended == LocalScorer(model).appended
        got = there.score(x)
        reply = client.elbo(given, model="grouped")
    want = LocalScorer(model, alpha=ALPHA).score(x)
    for name in ("p_value", "is_anomaly", "group", "group_pooled"):
        np.testing.assert_array_equal(getattr(got, name), getattr(want, name))
    np.testing.assert_array_equal(reply.group, want.group)


def test_vae_calibrate_by_columns_publishes_groups_and_lists_them(copied: Path, tmp_path: Path) -> None:
    given = grouped_rows(500, 9).tolist()
    source = written(tmp_path / "rows.csv", given)
    done = vae("calibrate", "grouped", source, "--models", copied, "--by", "on,site", "--num-samples", "4",
               "--num-samples", "8", "--batch-rows", "70")  # fmt: skip
    assert "groups by on, site" in done.output
    assert "(pooled)" in done.output
    with Model.load(copied / "grouped", device="cpu") as new:
        assert new.manifest.format == FORMAT
        first, second = new.manifest.calibration.entries
        assert first.groups.keys == second.groups.keys
        assert (first.groups.by, first.groups.least_rows) == (("on", "site"), 30)  # as before
        counts = {group.values: (group.n, group.pooled) for group in first.groups.groups}
        n = sum(row[3] == 1 and row[4] == "a" for row in given)
        assert counts[1, "a"] == (n, False)
        assert counts[0, "c"] == (sum(row[3] == 0 and row[4] == "c" for row in given), True)
        found = new.elbo([given[0]])
        assert found.group.tolist() == [f"on={given[0][3]}, site={given[0][4]}"]
        bound = new.bound(given)  # the held-out rows themselves: their p-values within a group are ranks
        at = (bound.group == "on=1, site=a") & ~bound.novel
        assert at.sum() == n
        assert len(np.unique(bound.p_value[at])) > 0.9 * n
        assert bound.p_value[at].max() == pytest.approx(n / (n + 1), abs=1.5 / n)


def test_vae_calibrate_keeps_the_groups_of_the_model_unless_told_otherwise(copied: Path, tmp_path: Path) -> None:
    source = written(tmp_path / "rows.csv", grouped_rows(300, 9).tolist())
    said = json.loads(vae("calibrate", "grouped", source, "--models", copied, "--json").stdout)
    assert said["calibrations"][0]["groups"]["by"] == ["site", "observed_cells"]
    said = json.loads(vae("calibrate", "grouped", source, "--models", copied, "--json", "--least-rows", "200").stdout)
    assert all(group["pooled"] for group in said["calibrations"][0]["groups"]["groups"])
    said = json.loads(vae("calibrate", "grouped", source, "--models", copied, "--json", "--by", "none").stdout)
    assert "groups" not in said["calibrations"][0]
    with Model.load(copied / "grouped", device="cpu") as new:
        assert new.elbo(rows(3)).group is None
        assert "group" not in LocalScorer(new).appended.names


@pytest.mark.parametrize(
    ("by", "message"),
    [("load", "--by: column 'load' is of kind real; expected columns of the model that are"), ("x", "no column 'x'")],
)
def test_other_columns_are_refused_before_anything_is_read(model: Model, by: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        publish_calibration(model, Path("absent.csv"), by=[by])


def test_vae_explain_says_among_which_group_the_p_value_is(grouped: Published, tmp_path: Path) -> None:
    given = rows(5)
    source = written(tmp_path / "rows.csv", given)
    flags = ["--models", grouped.root, "--cells", "1"]
    done = vae("explain", "grouped", source, "--row", "0", *map(str, flags))
    assert " among all rows" in done.output
    assert "unseen" in done.output
    said = json.loads(vae("explain", "grouped", source, "--row", "4", "--json", *map(str, flags)).stdout)
    assert said["group"] == f"site={given[4][4]}, observed_cells={sum(cell is not None for cell in given[4])}"


def test_images_are_not_calibrated_by_group(digits: Model) -> None:
    with pytest.raises(InputError, match="'observed_cells': images have no columns"):
        publish_calibration(digits, Path("absent.npy"), by=["observed_cells"])


def test_a_bundle_of_format_1_0_can_be_calibrated_by_group(tmp_path: Path) -> None:
    shutil.copytree(OLD / "sensors", tmp_path / "models" / "sensors")
    scores = json.loads((OLD / "scores.json").read_text())
    with Model.load(tmp_path / "models" / "sensors", device="cpu") as old:
        assert old.elbo(scores["rows"]).group is None
        names, kept = old.spec.names, [row for row, elbo in zip(scores["rows"], scores["elbo"], strict=True) if elbo]
        table = pa.table({name: [row[d] for row in kept * 5] for d, name in enumerate(names)})
        pyarrow.csv.write_csv(table, tmp_path / "rows.csv")
        column = next(one.name for one in old.spec.columns if one.kind == "category")
        manifest = publish_calibration(old, tmp_path / "rows.csv", by=[column], least_rows=5)
    assert manifest.groups is not None
    with Model.load(tmp_path / "models" / "sensors", device="cpu") as new:
        assert set(new.elbo(kept).group) == {
            f"{column}={value}" for (value,) in (g.values for g in manifest.groups.groups)
        }
