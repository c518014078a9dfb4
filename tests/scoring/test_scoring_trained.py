"""A trained model with categories and missing cells: equal scores from every format, and a new calibration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from tests.kinds import NAMES, mixed_rows
from tests.live import serving
from tests.scoring.conftest import scored
from vaekit import Client, Model
from vaekit.scoring import APPENDED, LocalScorer, RemoteScorer, publish_calibration
from vaekit.tabular import encode


def written(folder: Path, rows: Any, indices: Any) -> dict[str, Path]:
    """Write the same rows as CSV, Parquet and .npy."""
    columns = {name: [row[d] for row in rows] for d, name in enumerate(NAMES)}
    paths = {ending: folder / f"rows.{ending}" for ending in ("csv", "parquet", "npy")}
    pyarrow.csv.write_csv(pa.table(columns), paths["csv"])
    pq.write_table(pa.table(columns), paths["parquet"])
    np.save(paths["npy"], indices)
    return paths


def test_every_file_format_and_the_service_give_the_same_scores(mixed, tmp_path):
    rows = [*mixed_rows(30, seed=5).tolist(), [0.5, None, 3, None, None]]
    appended = [*APPENDED.names, "observed_count"]
    with Model.load(mixed.folder, device="cpu") as model, serving(mixed.root) as url, Client(url) as client:
        x = encode(rows, model.spec)
        elbo = model.elbo(rows)
        paths = written(tmp_path, rows, x)
        here, there = LocalScorer(model, alpha=0.1), RemoteScorer(client, "mixed", alpha=0.1)
        outs = [scored(here, path) for path in paths.values()] + [scored(there, paths["parquet"])]
        assert (here.reason, there.reason) == (None, None)
    for out in outs:
        np.testing.assert_allclose(out["elbo"].to_numpy(), elbo.elbo, rtol=1e-5)
        assert out["observed_count"].to_pylist() == (~np.isnan(x)).sum(axis=1).tolist()
        assert out["novel"].to_pylist() == outs[0]["novel"].to_pylist()
        for name in ("p_value", "is_anomaly"):
            assert out[name].null_count == 0
            assert out.select(appended)[name].to_pylist() == outs[0].select(appended)[name].to_pylist()


def test_novel_rows_of_a_new_calibration_rank_above_its_other_rows(mixed, tmp_path):
    shutil.copytree(mixed.root, tmp_path / "models")
    gaps = [[0.1 * i, None, 3, None, None] for i in range(20)]  # more missing cells than any training row
    rows = [*mixed_rows(40, seed=6).tolist(), *gaps]
    with Model.load(tmp_path / "models" / "mixed", device="cpu") as model:
        paths = written(tmp_path, rows, encode(rows, model.spec))
        manifest = publish_calibration(model, paths["csv"], num_samples=[4, 8], batch_rows=7)
    assert manifest.calibration is not None
    assert [(entry.num_samples, entry.n) for entry in manifest.calibration.entries] == [(4, 60), (8, 60)]
    with Model.load(tmp_path / "models" / "mixed", device="cpu") as model:
        most = model.manifest.most_missing
        novel = np.array([sum(cell is None for cell in row) > most for row in rows])
        scores = LocalScorer(model, alpha=0.1).score(encode(rows, model.spec))
        held_out = model.calibration()
    assert novel.sum() >= 20
    assert held_out.novel_scores.size == novel.sum()
    assert (scores.p_value[novel] <= (1 + novel.sum()) / 61).all()
    assert (scores.p_value[~novel] > novel.sum() / 61).all()


def test_a_new_calibration_of_a_bundle_before_format_1_3_keeps_the_number_of_cells_that_may_miss(mixed, tmp_path):
    folder = tmp_path / "models" / "mixed" / "1"
    shutil.copytree(mixed.folder / "1", folder)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["calibration"]["entries"][0]["observed_counts"] = [3, 4, 5]
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": "1.2", "novelty": None}))
    rows = [row for row in mixed_rows(60, seed=7).tolist() if sum(cell is None for cell in row) <= 2]
    with Model.load(folder, device="cpu") as model:
        publish_calibration(model, written(tmp_path, rows, encode(rows, model.spec))["csv"])
    with Model.load(tmp_path / "models" / "mixed", device="cpu") as model:
        assert model.manifest.version == 2
        assert model.manifest.most_missing == 2
        got = model.bound([*rows, [0.5, None, 3, None, None]])
    assert got.novel.tolist() == [False] * len(rows) + [True]
