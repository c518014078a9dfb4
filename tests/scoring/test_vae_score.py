"""`vae score` and `vae calibrate` on the command line, with the committed bundles."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

from vaekit import Model
from vaekit.bundle import versions
from vaekit.bundle.read import read_manifest
from vaekit.errors import FormatError, InputError, UnknownModel
from vaekit.scoring import locate, publish_calibration, split_reference


def vae(*words: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from vaekit.cli import main; main()", *map(str, words)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_csv_is_scored_by_the_named_model(breast_cancer, cancer_csv, models_dir, tmp_path):
    done = vae("score", "breast-cancer@1", cancer_csv, tmp_path / "out.parquet", "--models", models_dir)
    assert done.returncode == 0, done.stderr
    table = pq.read_table(tmp_path / "out.parquet")
    rows = np.column_stack([table[name].to_numpy() for name in breast_cancer.spec.names])
    np.testing.assert_allclose(table["elbo"].to_numpy(), breast_cancer.elbo(rows).elbo, rtol=1e-5)
    assert table["diagnosis"].to_pylist() == pyarrow.csv.read_csv(cancer_csv)["diagnosis"].to_pylist()
    share = np.mean(table["is_anomaly"].to_pylist())
    assert "569 rows in" in done.stdout
    assert f"({share:.2%}) at alpha = 0.05" in done.stdout
    assert f"written to {tmp_path / 'out.parquet'}" in done.stdout


@pytest.mark.slow
def test_scoring_through_a_service_writes_the_same_file(cancer_csv, models_dir, url, tmp_path):
    for name, where in (("here", ["--models", models_dir]), ("there", ["--url", url])):
        done = vae("score", "breast-cancer", cancer_csv, tmp_path / f"{name}.parquet", *where)
        assert done.returncode == 0, done.stderr
    here, there = (pq.read_table(tmp_path / f"{name}.parquet") for name in ("here", "there"))
    assert here.schema == there.schema
    assert here.select(here.column_names[:31]).equals(there.select(there.column_names[:31]))
    for name in ("elbo", "log_likelihood", "kl", "score", "p_value"):
        np.testing.assert_allclose(there[name].to_numpy(), here[name].to_numpy(), rtol=1e-5, err_msg=name)
    assert there["is_anomaly"].equals(here["is_anomaly"])


def test_the_scores_of_images_are_written_in_row_order(digits, digit_images, models_dir, tmp_path):
    np.save(tmp_path / "x.npy", digit_images)
    done = vae("score", models_dir / "digits" / "1", tmp_path / "x.npy", tmp_path / "out.csv", "--batch-rows", "500")
    assert done.returncode == 0, done.stderr
    table = pyarrow.csv.read_csv(tmp_path / "out.csv")
    np.testing.assert_array_equal(table["row"].to_numpy(), np.arange(len(digit_images)))
    np.testing.assert_allclose(table["elbo"].to_numpy(), digits.elbo(digit_images).elbo, rtol=1e-5)


def test_the_reason_for_missing_p_values_is_printed_once(cancer_csv, models_dir, tmp_path):
    output = tmp_path / "out.csv"
    done = vae("score", "breast-cancer", cancer_csv, output, "--models", models_dir, "--num-samples", "8")
    reason = "num_samples 8 has no calibration; calibrated: 16"
    assert (done.stdout + done.stderr).count(reason) == 1
    assert pyarrow.csv.read_csv(output)["p_value"].null_count == 569


def test_an_invalid_input_is_one_line_on_stderr_and_leaves_no_files(models_dir, tmp_path):
    (tmp_path / "x.csv").write_text("mean radius\n1\n")
    done = vae("score", "breast-cancer", tmp_path / "x.csv", tmp_path / "out.csv", "--models", models_dir)
    assert done.returncode == 1
    assert done.stderr.startswith(
        f"error: {tmp_path / 'x.csv'}: the input lacks 29 of the model's columns: 'mean texture', "
    )
    assert [path.name for path in tmp_path.iterdir()] == ["x.csv"]


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_run_stopped_by_a_signal_leaves_no_files(cancer_csv, models_dir, tmp_path, name):
    code = f"""
import os, signal
from vaekit.cli import main
from vaekit.scoring import LocalScorer
score = LocalScorer.score
LocalScorer.score = lambda self, x: (os.kill(os.getpid(), signal.{name}), score(self, x))[1]
main()
"""
    words = ["score", "breast-cancer", cancer_csv, tmp_path / "out.csv", "--models", models_dir]
    done = subprocess.run([sys.executable, "-c", code, *map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 128 + getattr(signal, name)
    assert list(tmp_path.iterdir()) == []


def test_a_service_that_cannot_be_reached_is_one_line_on_stderr(cancer_csv, tmp_path):
    done = vae("score", "breast-cancer", cancer_csv, tmp_path / "out.csv", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr.startswith("error: http://127.0.0.1:9: ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("key", ["\u00e9-secret", "secret\n"])
def test_an_invalid_key_is_one_line_on_stderr_that_does_not_show_it(cancer_csv, tmp_path, monkeypatch, key):
    monkeypatch.setenv("VAE_KEY", key)
    done = vae("score", "breast-cancer", cancer_csv, tmp_path / "out.csv", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert done.stderr == "error: key: expected printable ASCII with no space at either end\n"


@pytest.mark.parametrize(
    ("text", "meant"),
    [("digits", ("digits", None)), ("digits@12", ("digits", 12)), ("./a@b/digits", ("./a@b/digits", None))],
)
def test_a_reference_is_a_name_with_an_optional_version(text, meant):
    assert split_reference(text) == meant


@pytest.mark.parametrize("text", ["digits@0", "digits@latest", "digits@", "digits@1.0"])
def test_a_version_that_is_not_a_positive_integer_is_refused(text):
    with pytest.raises(InputError, match="is not a positive integer"):
        split_reference(text)


def test_a_bundle_is_found_by_name_version_and_path(models_dir, monkeypatch):
    home = models_dir / "digits"
    assert locate("digits", models_dir) == locate("digits@1", models_dir) == home / "1"
    assert locate(str(home), "nowhere") == locate(f"{home}@1", "nowhere") == home / "1"
    assert locate(str(home / "1"), "nowhere") == home / "1"
    monkeypatch.chdir(home)
    assert locate("./1", "nowhere").resolve() == home / "1"


@pytest.mark.parametrize("text", ["nothing", "digits@7", "./nothing", "../digits", "Digits"])
def test_a_missing_bundle_is_an_error(models_dir, text):
    with pytest.raises(UnknownModel):
        locate(text, models_dir)


def test_a_loop_of_links_is_no_bundle(tmp_path):
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(UnknownModel, match="no such folder"):
        locate(f"{tmp_path}/loop@2", "nowhere")
    with pytest.raises(FormatError, match=r"loop/manifest\.json: cannot be read: "):
        read_manifest(locate(f"{tmp_path}/loop", "nowhere"))


@pytest.mark.slow
def test_calibrating_publishes_a_new_version_with_p_values_relative_to_the_new_rows(
    copied, cancer_csv, benign_rows, breast_cancer
):
    done = vae("calibrate", "breast-cancer", cancer_csv, "--models", copied)
    assert done.returncode == 0, done.stderr
    assert "breast-cancer@2: calibrated on 569 rows" in done.stdout
    assert versions(copied, "breast-cancer") == [1, 2]
    with Model.load(copied / "breast-cancer") as new:
        manifest, calibration = new.manifest, new.calibration()
        np.testing.assert_allclose(new.elbo(benign_rows).elbo, breast_cancer.elbo(benign_rows).elbo, rtol=1e-5)
        ranks = (570.0 - np.arange(569)) / 570.0
        np.testing.assert_allclose(calibration.p_value(calibration.scores), ranks, atol=1.01 / 570.0)  # near ties
        assert (new.surprises.features.n == 569).all()
        assert (breast_cancer.surprises.features.n == 72).all()
    assert manifest.provenance.parent == "breast-cancer@1"
    assert manifest.operations == breast_cancer.manifest.operations
    assert manifest.calibration.entries[0].array == "elbo_k16_default"
    assert "569 rows of cancer.csv" in manifest.calibration.assumption
    assert "auroc" in manifest.metrics
    assert "false_alarm_rate" not in manifest.metrics


def test_calibrating_changes_only_the_manifest_and_the_calibration_files(copied, cancer_csv):
    before, after = copied / "breast-cancer" / "1", copied / "breast-cancer" / "2"
    vae("calibrate", "breast-cancer", cancer_csv, "--models", copied)
    old = {path.relative_to(before): path.read_bytes() for path in before.rglob("*") if path.is_file()}
    new = {path.relative_to(after): path.read_bytes() for path in after.rglob("*") if path.is_file()}
    assert sorted(new) == sorted(old)
    assert {str(path) for path in old if old[path] != new[path]} == {
        "manifest.json",
        "calibration.npz",
        "surprise.npz",
    }


def test_several_numbers_of_draws_are_calibrated_in_one_run(copied, cancer_csv, benign_rows):
    with Model.load(copied / "breast-cancer", device="cpu") as model:
        publish_calibration(model, cancer_csv, num_samples=[4, 32])
    with Model.load(copied / "breast-cancer", device="cpu") as new:
        assert new.calibration(4).n == new.calibration(32).n == 569
        assert str(new.calibration()).startswith("num_samples 16 has no calibration; calibrated: 4, 32; vae calibrate ")
        assert np.isin(new.elbo(benign_rows, num_samples=4).score, new.calibration(4).scores).mean() > 0.9


@pytest.mark.parametrize(
    ("num_samples", "message"), [([1], "num_samples: 1 is not between"), ([], "calibration: no held-out scores")]
)
def test_an_invalid_calibration_publishes_nothing(copied, cancer_csv, tmp_path, num_samples, message):
    header = cancer_csv.read_text().split("\n")[0]
    (tmp_path / "none.csv").write_text(header + "\n")
    with Model.load(copied / "breast-cancer", device="cpu") as model, pytest.raises(InputError, match=message):
        publish_calibration(model, tmp_path / "none.csv", num_samples=num_samples)
    assert [path.name for path in (copied / "breast-cancer").iterdir()] == ["1"]


def test_a_bundle_outside_a_folder_of_models_is_refused(models_dir, cancer_csv, tmp_path):
    shutil.copytree(models_dir / "breast-cancer" / "1", tmp_path / "mine")
    with (
        Model.load(tmp_path / "mine", device="cpu") as model,
        pytest.raises(InputError, match="expected a bundle in a folder of models"),
    ):
        publish_calibration(model, cancer_csv)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]


def test_rows_keep_their_order_over_many_batches(breast_cancer, benign_rows, models_dir, tmp_path):
    rows = np.tile(benign_rows, (12, 1))
    np.save(tmp_path / "x.npy", rows)
    done = vae("score", models_dir / "breast-cancer", tmp_path / "x.npy", tmp_path / "o.parquet", "--batch-rows", "777")
    assert done.returncode == 0, done.stderr
    table = pq.read_table(tmp_path / "o.parquet")
    assert table.schema.field("mean radius").type == pa.float64()
    np.testing.assert_allclose(table["elbo"].to_numpy(), breast_cancer.elbo(rows).elbo, rtol=1e-5)
