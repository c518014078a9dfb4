"""The output of `vae calibrate` and the rows it leaves out, on a committed bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from vaekit import Model
from vaekit.bundle.policy import Policy, write_policy
from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.scoring import publish_calibration

LABELLED = ("--label", "diagnosis", "--anomaly", "malignant")


def vae(*words: str | Path) -> Any:
    return CliRunner().invoke(app, ["calibrate", *map(str, words)])


def test_rows_labelled_as_anomalies_are_left_out(copied, cancer_csv, benign_rows, breast_cancer) -> None:
    done = vae("breast-cancer", cancer_csv, "--models", copied, *LABELLED, "--batch-rows", "100")
    assert done.exit_code == 0, done.output
    assert "calibrated on 357 rows" in done.stdout
    assert "the 357 normal rows of cancer.csv" in done.stdout
    with Model.load(copied / "breast-cancer", device="cpu") as new:
        want = np.sort(breast_cancer.elbo(benign_rows).score)
        np.testing.assert_allclose(new.calibration().scores, want, rtol=1e-5, atol=1e-4)
        assert new.calibration().tail is not None


def test_the_table_has_thresholds_intervals_and_the_rows_that_each_alpha_needs(copied, cancer_csv) -> None:
    done = vae("breast-cancer", cancer_csv, "--models", copied, *LABELLED)
    with Model.load(copied / "breast-cancer", device="cpu") as new:
        (entry,) = new.manifest.calibration.entries
        alpha_5 = new.calibration().threshold(0.05)
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines() if line[:1] == "│"]
    cells = {line[0]: line[1:] for line in lines}
    assert cells["0.001"] == ["not resolvable", "", "999"]
    one = next(one for one in entry.thresholds if one.alpha == 0.05)
    assert cells["0.05"] == [f"{alpha_5:.6g}", f"{one.rate_low:.2g} .. {one.rate_high:.2g}", "19"]
    output = " ".join(done.stdout.split())
    assert "p_value_tail: extrapolation without a guarantee beyond the highest held-out score" in output
    assert f"fitted to the {entry.tail.exceedances} scores above {entry.tail.threshold:.6g}" in output


def test_json_on_stdout_has_the_calibrations_of_the_manifest(copied, cancer_csv) -> None:
    done = vae(
        "breast-cancer", cancer_csv, "--models", copied, *LABELLED, "--json", "--num-samples", "4", "--num-samples", "8"
    )
    tree = json.loads(done.stdout)
    manifest = json.loads((copied / "breast-cancer" / "2" / "manifest.json").read_text())
    assert tree["model"] == "breast-cancer@2"
    assert tree["calibrations"] == manifest["calibration"]["entries"]
    assert [entry["num_samples"] for entry in tree["calibrations"]] == [4, 8]


def test_too_few_rows_for_a_tail_are_reported(copied, cancer_csv, tmp_path) -> None:
    lines = cancer_csv.read_text().splitlines()
    (tmp_path / "few.csv").write_text("\n".join(lines[:60]))
    done = vae("breast-cancer", tmp_path / "few.csv", "--models", copied)
    assert "p_value_tail: none: too few rows to extrapolate from" in done.stdout


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"label": "diagnosis"},
            "label 'diagnosis': no row is '1', so none is left out; the labels are 'benign', 'malignant'",
        ),
        ({"label": "diagnosis", "anomalies": ("benign", "malignant")}, "calibration: no held-out scores"),
        ({"label": "sort"}, "label: no column 'sort'"),
    ],
)
def test_labels_that_match_no_row_or_every_row_are_refused(copied, cancer_csv, given, message) -> None:
    with Model.load(copied / "breast-cancer", device="cpu") as model, pytest.raises(InputError, match=message):
        publish_calibration(model, cancer_csv, **given)
    assert [path.name for path in (copied / "breast-cancer").iterdir()] == ["1"]


def test_anomaly_without_label_is_refused(copied, cancer_csv) -> None:
    done = vae("breast-cancer", cancer_csv, "--models", copied, "--anomaly", "malignant")
    assert "--anomaly: needs --label, the column or .npy file with the labels" in str(done.exception)


@pytest.mark.parametrize("more", [(), ("--json",)])
def test_it_says_that_the_new_version_is_in_use_and_how_to_keep_the_old_one(copied, cancer_csv, more) -> None:
    done = vae("breast-cancer", cancer_csv, "--models", copied, *LABELLED, *more)
    said = done.stderr if more else done.stdout
    assert said.endswith(
        "breast-cancer now means breast-cancer@2: every `vae score breast-cancer`, every other command and running "
        "services of this folder use it\nto use the version before it: write breast-cancer@1 (over HTTP "
        "/models/breast-cancer/versions/1)\nto go back for good: vae models pin breast-cancer@1, or vae models remove "
        "breast-cancer@2\n"
    )
    if more:
        assert json.loads(done.stdout)["parent"] == "breast-cancer@1"
    again = vae("breast-cancer@1", cancer_csv, "--models", copied, *LABELLED)
    assert "breast-cancer now means breast-cancer@3" in again.stdout
    assert "version before it: write breast-cancer@1 (over HTTP" in again.stdout
    write_policy(copied / "breast-cancer", Policy(default=1))
    pinned = vae("breast-cancer", cancer_csv, "--models", copied, *LABELLED)
    assert "stays pinned to breast-cancer@1; vae models pin breast-cancer@4 chooses" in pinned.stdout
