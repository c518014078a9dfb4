"""Scoring and calibrating a model that has float16 graphs."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from vaekit import Model
from vaekit.cli import main
from vaekit.scoring import publish_calibration


@pytest.fixture
def rows(tmp_path: Any) -> Any:
    np.save(tmp_path / "rows.npy", np.random.default_rng(7).standard_normal((50, 3)) * [1.0, 1e-3, 1e5])
    return tmp_path / "rows.npy"


@pytest.mark.parametrize("loaded_at", ["float32", "float16"])
def test_a_new_calibration_has_entries_for_each_precision(half, rows, tmp_path, loaded_at):
    shutil.copytree(half.root, tmp_path / "models")
    with Model.load(tmp_path / "models" / "half", device="cpu", precision=loaded_at) as model:
        manifest = publish_calibration(model, rows, num_samples=[4, 8], batch_rows=20)
    ways = [(entry.precision, entry.num_samples, entry.n) for entry in manifest.calibration.entries]
    assert ways == [("float32", 4, 50), ("float32", 8, 50), ("float16", 4, 50), ("float16", 8, 50)]
    assert "float16_verdicts" not in manifest.metrics
    assert "float16_elbo_max" in manifest.metrics
    for precision in ("float32", "float16"):
        with Model.load(tmp_path / "models" / "half", device="cpu", precision=precision) as model:
            scores = np.sort(model.elbo(np.load(rows), num_samples=8).score)
            np.testing.assert_allclose(model.calibration(8).scores, scores, rtol=1e-6)


def test_vae_score_uses_the_requested_precision(half, rows, tmp_path, monkeypatch):
    found = {}
    for precision in ("float32", "float16"):
        out = tmp_path / f"{precision}.parquet"
        flags = ["--models", str(half.root), "--device", "cpu", "--precision", precision]
        monkeypatch.setattr("sys.argv", ["vae", "score", "half", str(rows), str(out), *flags])
        with pytest.raises(SystemExit, match="0"):
            main()
        found[precision] = pq.read_table(out)["elbo"].to_numpy()
    assert (found["float16"] != found["float32"]).any()
    np.testing.assert_allclose(found["float16"], found["float32"], rtol=0.01, atol=0.05)
