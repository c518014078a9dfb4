"""A trained model with categories and missing cells: equal scores from every format, and a new calibration."""

from __future__ import annotations

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
        for name in ("p_value", "is_anomaly"):
            assert out[name].null_count == 1
            assert out[name].to_pylist()[-1] is None
            assert out.select(appended)[name].to_pylist() == outs[0].select(appended)[name].to_pylist()


def test_a_new_calibration_has_the_observed_counts_of_its_rows(mixed, tmp_path):
    shutil.copytree(mixed.root, tmp_path / "models")
    rows = [*mixed_rows(40, seed=6).tolist(), *[[0.1 * i, None, 3, None, None] for i in range(20)]]
    with Model.load(tmp_path / "models" / "mixed", device="cpu") as model:
        paths = written(tmp_path, rows, encode(rows, model.spec))
        manifest = publish_calibration(model, paths["csv"], num_samples=[4, 8], batch_rows=7)
    want = tuple(sorted({sum(cell is not None for cell in row) for row in rows}))
    assert 2 in want
    assert manifest.calibration is not None
    assert [(entry.num_samples, entry.n, entry.observed_counts) for entry in manifest.calibration.entries] == [
        (4, 60, want),
        (8, 60, want),
    ]
    with Model.load(tmp_path / "models" / "mixed", device="cpu") as model:
        scores = LocalScorer(model, alpha=0.1).score(encode(rows, model.spec))
    assert np.isfinite(scores.p_value).all()
