"""Scoring files with a model calibrated by folds: p-values and verdicts by the median, and no drift."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.kinds import Published, folded_rows
from tests.live import serving
from vaekit import Client, Model
from vaekit.cli import main
from vaekit.scoring import LocalScorer, RemoteScorer
from vaekit.scoring.evaluation.explain_row import explain_row


@pytest.fixture
def model(folded: Published) -> Any:
    with Model.load(folded.folder, device="cpu") as loaded:
        yield loaded


def test_vae_score_takes_p_values_and_verdicts_from_the_folds(
    folded: Published, model: Model, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = folded_rows(300, seed=6)
    x[::5, 1:] *= 9.0
    np.save(tmp_path / "rows.npy", x)
    flags = ["--models", folded.root, "--device", "cpu", "--alpha", "0.1", "--batch-rows", "64"]
    flags += ["--fdr", "0.2", "--summary", tmp_path / "s.json"]
    words = ["vae", "score", "folded", tmp_path / "rows.npy", tmp_path / "out.parquet", *flags]
    monkeypatch.setattr("sys.argv", [*map(str, words)])
    with pytest.raises(SystemExit, match="0"):
        main()
    calibration, scored = model.calibration(), model.elbo(x)
    assert not isinstance(calibration, str)
    p_value = calibration.p_value(calibration.scores_to_compare(scored))
    table = pq.read_table(tmp_path / "out.parquet")
    np.testing.assert_array_equal(table["p_value"].to_numpy(), p_value)
    np.testing.assert_array_equal(table["is_anomaly"].to_numpy(zero_copy_only=False), p_value <= 0.1)
    assert "fold_elbo" not in table.column_names
    summary = json.loads((tmp_path / "s.json").read_text())
    assert summary["drift"] is None
    assert summary["anomalies"] == int((p_value <= 0.1).sum()) > 0


def test_a_remote_scorer_returns_the_fold_verdicts_of_a_local_scorer(folded: Published, model: Model) -> None:
    x = folded_rows(300, seed=7)
    x[::5, 1:] *= 9.0
    with serving(folded.root) as url, Client(url) as client:
        there = RemoteScorer(client, "folded", alpha=0.1).score(x)
    here = LocalScorer(model, alpha=0.1).score(x)
    np.testing.assert_allclose(there.elbo, here.elbo, rtol=1e-5)
    np.testing.assert_array_equal(there.p_value, here.p_value)
    np.testing.assert_array_equal(there.is_anomaly, here.is_anomaly)


def test_a_scorer_with_folds_has_no_held_out_scores(model: Model) -> None:
    """The scores come from other models than the one that scores a run, so they cannot show drift."""
    assert LocalScorer(model).held_out is None


def test_an_explained_row_has_the_p_value_of_the_folds(model: Model, tmp_path: Path) -> None:
    x = folded_rows(3, seed=8)
    np.save(tmp_path / "rows.npy", x)
    calibration, scored = model.calibration(), model.elbo(x)
    assert not isinstance(calibration, str)
    want = calibration.p_value(calibration.scores_to_compare(scored))
    assert explain_row(model, tmp_path / "rows.npy", 1, top=1).p_value == want[1]
