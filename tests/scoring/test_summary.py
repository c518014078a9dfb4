"""The summary of a run as JSON and as a figure, and its command-line options."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.scoring.conftest import Squares
from tests.scoring.test_vae_score import vae
from vaekit.cli.score_report import report
from vaekit.scoring import LocalScorer, Options, Summary, score_file
from vaekit.scoring.batch.summary_plot import draw
from vaekit.storage.paths import storage_path


@pytest.fixture
def summary(breast_cancer, benign_rows, tmp_path) -> Summary:
    np.save(tmp_path / "x.npy", benign_rows)
    options = Options(columns=(), fdr=0.1, top=3)
    return score_file(LocalScorer(breast_cancer), tmp_path / "x.npy", tmp_path / "out.parquet", options=options)


def test_the_summary_matches_the_output(summary, breast_cancer, tmp_path):
    summary.write(storage_path(tmp_path / "run.json"))
    found: dict[str, Any] = json.loads((tmp_path / "run.json").read_text())
    table = pq.read_table(tmp_path / "out.parquet")
    p, score = table["p_value"].to_numpy(), table["score"].to_numpy()
    n = breast_cancer.calibration().n
    assert (found["rows"], found["model"]) == (table.num_rows, "breast-cancer@1")
    assert found["share"] == pytest.approx(np.mean(table["is_anomaly"].to_numpy()))
    assert found["rates"]["0.1"] == pytest.approx(np.mean(p <= 0.1))
    assert found["rates"]["0.001"] is None  # below 1 / (n + 1)
    assert sum(found["p_values"]["rows"]) == sum(found["scores"]["rows"]) == table.num_rows
    assert sum(found["scores"]["calibration"]) == n
    assert [odd["row"] for odd in found["top"]] == np.argsort(-score, kind="stable")[:3].tolist()
    assert found["fdr"]["count"] == int(np.sum(table["is_discovery"].to_numpy()))
    assert found["drift"]["reading"] == summary.drift.reading


def test_the_report_says_why_there_are_no_discoveries_and_what_decides_about_drift(summary, capsys):
    report(summary)
    said = capsys.readouterr().out
    assert (
        "0 discoveries at a false-discovery rate of 0.1: 72 held-out rows are too few to find fewer than 49 of" in said
    )
    near = f"Kolmogorov-Smirnov distance from the held-out scores {summary.drift.ks:.3f}"
    assert f"drift: no drift beyond chance for this number of rows ({near}" in said
    assert "stability index" not in said
    far = replace(summary, held_out_p_values=summary.held_out_p_values / 2)
    report(far)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("drift: ")]
    assert line.startswith("drift: large drift: many anomalies, or the normal rows have changed (Kolmogorov-Smirnov")
    size = f"size by the population stability index, {far.drift.psi:.3f})"
    assert f"chance explains up to {far.drift.ks_by_chance:.3f}; {size}" in line


def test_the_figure_is_drawn_with_and_without_p_values(summary, tmp_path):
    np.save(tmp_path / "y.npy", np.ones((5, 3)))
    bare = score_file(Squares(reason="none"), tmp_path / "y.npy", tmp_path / "y.parquet")
    np.save(tmp_path / "z.npy", np.ones((0, 3)))
    empty = score_file(Squares(), tmp_path / "z.npy", tmp_path / "z.parquet")
    images = []
    for number, found in enumerate((summary, bare, empty)):
        with Image.open(draw(found, tmp_path / f"{number}.png")) as image:
            assert image.width == 768
            images.append(np.asarray(image.convert("L")))
    assert not any(np.array_equal(images[0], other) for other in images[1:])
    assert json.loads(json.dumps(empty.to_json()))["share"] is None


def test_without_calibration_scores_there_is_no_drift(tmp_path):
    np.save(tmp_path / "y.npy", np.ones((5, 3)))
    found = score_file(Squares(), tmp_path / "y.npy", tmp_path / "y.parquet").to_json()
    assert (found["drift"], found["scores"]["calibration"], found["scores"]["rows"]) == (None, None, [])
    assert found["rates"]["0.05"] == 0.0


@pytest.mark.slow
def test_the_command_writes_a_folder_a_quarantine_and_a_summary(cancer_csv, models_dir, tmp_path):
    lines = cancer_csv.read_text().splitlines()
    name, _, *cells = lines[7].split(",")
    lines[7] = ",".join([name, "n/a", *cells])
    (tmp_path / "rows.csv").write_text("\n".join(lines) + "\n")
    words = [
        "--quarantine",
        tmp_path / "bad.csv",
        "--max-bad",
        "2",
        "--columns",
        "diagnosis",
        "--fdr",
        "0.2",
        "--top",
        "1",
    ]
    run = ["score", "breast-cancer", tmp_path / "rows.csv", f"{tmp_path}/out/", "--models", models_dir, *words]
    done = vae(*run, "--summary", tmp_path / "run.json")
    assert done.returncode == 0, done.stderr
    assert "invalid rows in quarantine: 1 (1 not a number)" in done.stdout
    assert "discoveries" in done.stdout
    assert "drift: " in done.stdout
    table = pq.read_table(tmp_path / "out")
    assert table.column_names[:2] == ["diagnosis", "elbo"]
    assert table.num_rows == 568
    assert json.loads((tmp_path / "run.json").read_text())["quarantined"] == {"rows": 1, "reasons": {"not a number": 1}}
    assert (tmp_path / "run.png").is_file()
    assert (tmp_path / "bad.csv").read_text().splitlines()[1].startswith('6,"mean radius","not a number"')
    again = vae(*run, "--resume")
    assert "parts kept from an earlier run: 1 (568 rows)" in again.stdout
    assert "the folder has a run already" in vae(*run).stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["out.csv", "--resume"], "--resume: needs a folder as output"),
        (["out.csv", "--part-rows", "5"], "--part-rows: needs a folder as output"),
        (["out.csv", "--max-bad", "5"], "--max-bad: needs --quarantine FILE"),
        (["out.csv", "--quarantine", "bad.csv", "--max-bad", "x"], "max_bad: 'x', expected"),
        (["out.csv", "--quarantine", "out.csv"], "the quarantine file is the output"),
        (["out.csv", "--summary", "run.txt"], "expected a name that ends in .json"),
        (["out.csv", "--summary", "none/run.json"], "folder none does not exist"),
        (["out.csv", "--fdr", "1.5"], "fdr: 1.5 is not between 0 and 1"),
        (["out.csv", "--columns", "nothing"], "columns: the input has no column 'nothing'"),
    ],
)
def test_invalid_options_are_one_line_on_stderr_and_leave_no_files(
    cancer_csv, models_dir, tmp_path, monkeypatch, words, message
):
    monkeypatch.chdir(tmp_path)
    done = vae("score", "breast-cancer", cancer_csv, *words, "--models", models_dir)
    assert done.returncode == 1
    assert message in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_the_columns_to_keep_are_separated_by_commas(cancer_csv, models_dir, tmp_path):
    asked = ["--columns", "mean area,diagnosis", "--models", models_dir]
    assert vae("score", "breast-cancer", cancer_csv, tmp_path / "o.parquet", *asked).returncode == 0
    schema: pa.Schema = pq.read_schema(Path(tmp_path / "o.parquet"))
    assert schema.names[:3] == ["diagnosis", "mean area", "elbo"]
