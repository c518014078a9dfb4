"""Calibrations that are proposed from logged rows which were confirmed as normal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.scoring.test_feedback import write_log
from vaekit import Model
from vaekit.bundle.intervals import clopper_pearson
from vaekit.bundle.proposal import PROPOSAL_FILE, Proposal, is_proposed
from vaekit.cli import app

NAME = "breast-cancer"


def vae(*words: str | Path) -> Any:
    return CliRunner().invoke(app, [str(word) for word in words])


def propose(root: Path, tmp_path: Path, *more: str) -> Any:
    """Propose from the files that `logged` wrote."""
    words = ("--feedback", tmp_path / "labels.csv", "--scores", tmp_path / "log", "--device", "cpu", *more)
    return vae("calibrate", NAME, "--models", root, *words)


def logged(model: Model, rows: NDArray[np.float64], tmp_path: Path, **columns: Any) -> None:
    """A log of rows as the model scores them, all labelled normal."""
    score, n = model.elbo(rows).score, len(rows)
    p_value = model.calibration().p_value(score)
    usual = {
        "id": [str(i) for i in range(n)], "model": [NAME] * n, "version": [1] * n, "score": score,
        "p_value": p_value, "is_anomaly": p_value <= 0.05,
        "num_samples": [model.manifest.draws.default] * n,
    }  # fmt: skip
    write_log(tmp_path / "log", **{**usual, **columns})
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"{i},0\n" for i in range(n)))


def test_logged_scores_give_the_calibration_of_the_rows_themselves(
    copied: Path, tmp_path: Path, breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    logged(breast_cancer, benign_rows, tmp_path)
    done = propose(copied, tmp_path)
    assert done.exit_code == 0, done.output
    np.save(tmp_path / "rows.npy", benign_rows)
    assert vae("calibrate", f"{NAME}@1", tmp_path / "rows.npy", "--models", copied).exit_code == 0
    folders = [copied / NAME / number for number in ("2", "3")]
    with Model.load(folders[0], device="cpu") as ours, Model.load(folders[1], device="cpu") as direct:
        np.testing.assert_allclose(ours.calibration().scores, direct.calibration().scores, rtol=1e-5, atol=1e-4)
        assert ours.manifest.surprise == breast_cancer.manifest.surprise
    assert [is_proposed(folder) for folder in folders] == [True, False]


def test_the_proposal_compares_thresholds_and_counts_what_the_old_ones_flag(
    copied: Path, tmp_path: Path, breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    np.save(tmp_path / "rows.npy", benign_rows)
    done = vae("calibrate", NAME, tmp_path / "rows.npy", "--models", copied, "--propose", "--json")
    proposal = Proposal.model_validate_json((copied / NAME / "2" / PROPOSAL_FILE).read_bytes())
    assert json.loads(done.stdout)["proposal"] == proposal.model_dump(mode="json")
    (one,) = proposal.comparisons
    assert (proposal.parent, one.n_after, one.n_before) == (
        f"{NAME}@1",
        len(benign_rows),
        breast_cancer.calibration().n,
    )
    with Model.load(copied / NAME / "2", device="cpu") as after:
        old = breast_cancer.calibration()
        for line in one.alphas:
            flagged = int((old.p_value(breast_cancer.elbo(benign_rows).score) <= line.alpha).sum())
            assert line.flagged == flagged
            assert (line.rate_low, line.rate_high) == clopper_pearson(flagged, len(benign_rows))
            threshold = after.calibration().threshold(line.alpha)
            assert line.after == (pytest.approx(threshold) if np.isfinite(threshold) else None)
    assert "is proposed" in done.stderr


def test_a_calibration_that_the_proposal_lacks_gives_a_warning(
    copied: Path, tmp_path: Path, breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    np.save(tmp_path / "rows.npy", benign_rows)
    k = breast_cancer.manifest.draws.default
    words = (NAME, tmp_path / "rows.npy", "--models", copied, "--propose", "--num-samples")
    assert "warning" not in vae("calibrate", *words, str(k)).stderr
    lost = f"warning: {NAME}@1 has a calibration for K = {k}, float32, and the proposed version has none"
    assert lost in vae("calibrate", *words, str(k + 1)).stderr


def test_a_new_version_from_a_proposed_one_is_not_proposed(
    copied: Path, tmp_path: Path, benign_rows: NDArray[np.float64]
) -> None:
    np.save(tmp_path / "rows.npy", benign_rows)
    for words in ((NAME, "--propose"), (f"{NAME}@2",)):
        assert vae("calibrate", words[0], tmp_path / "rows.npy", "--models", copied, *words[1:]).exit_code == 0
    assert [is_proposed(copied / NAME / number) for number in ("2", "3")] == [True, False]


def test_rows_that_were_all_flagged_are_refused(
    copied: Path, tmp_path: Path, breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    logged(breast_cancer, benign_rows[:50], tmp_path, is_anomaly=[True] * 50)
    done = propose(copied, tmp_path)
    assert done.exit_code == 1
    assert "all 50 rows that are confirmed as normal were flagged" in str(done.exception)


def test_rows_that_were_labelled_because_of_their_flags_give_a_warning(
    copied: Path, tmp_path: Path, breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    n = len(benign_rows)
    logged(breast_cancer, benign_rows, tmp_path, is_anomaly=[i < 20 for i in range(n)])
    (tmp_path / "labels.csv").write_text("id,label\n" + "".join(f"{i},0\n" for i in range(25)))
    done = propose(copied, tmp_path)
    assert done.exit_code == 0, done.output
    assert "20 of 25 rows that are confirmed as normal were flagged" in done.stderr
    assert "the new thresholds are too high" in vae("models", "accept", f"{NAME}@2", "--models", copied).stderr


def test_a_random_choice_of_labels_gives_no_warning(
    copied: Path, tmp_path: Path, breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    logged(breast_cancer, benign_rows, tmp_path)
    assert "warning" not in propose(copied, tmp_path).output


@pytest.mark.parametrize(
    ("columns", "more", "says"),
    [
        ({"version": [7] * 40}, (), "no logged row of breast-cancer@1 is confirmed as normal; labelled rows are of"),
        ({"seed": [3] * 40}, (), "no row that is confirmed as normal has a score on the default draws"),
        ({"num_samples": [2] * 40}, (), "no row that is confirmed as normal has a score on the default draws"),
        ({}, ("--num-samples", "4"), "need the rows themselves"),
    ],
)  # fmt: skip
def test_what_logged_scores_cannot_give_is_refused(
    columns: Any, more: Any, says: str, copied: Path, tmp_path: Path, breast_cancer: Model,
    benign_rows: NDArray[np.float64],
) -> None:  # fmt: skip
    logged(breast_cancer, benign_rows[:40], tmp_path, **columns)
    done = propose(copied, tmp_path, *more)
    assert done.exit_code == 1
    assert says in str(done.exception)


def test_logged_rows_are_scored_again_at_every_k_that_is_asked_for(
    copied: Path, tmp_path: Path, breast_cancer: Model, benign_rows: NDArray[np.float64]
) -> None:
    logged(breast_cancer, benign_rows, tmp_path)
    (path,) = (tmp_path / "log").glob("*.parquet")
    names = breast_cancer.spec.names
    inputs = pa.array([dict(zip(names, row, strict=True)) for row in benign_rows.tolist()])
    pq.write_table(pq.read_table(path).append_column("input", inputs), path)
    done = propose(copied, tmp_path, "--num-samples", "4", "--num-samples", "8")
    assert done.exit_code == 0, done.output
    with Model.load(copied / NAME / "2", device="cpu") as model:
        want = np.sort(breast_cancer.elbo(benign_rows, num_samples=4).score)
        np.testing.assert_allclose(model.calibration(4).scores, want, rtol=1e-5, atol=1e-4)
        assert model.manifest.surprise.n == len(benign_rows)


def test_feedback_without_scores_and_scores_without_feedback_are_refused(copied: Path) -> None:
    for words in (("--feedback", "l.csv"), ("--scores", "log"), ()):
        done = vae("calibrate", NAME, "--models", copied, *words)
        assert done.exit_code == 1
        assert "--scores" in str(done.exception)
