"""`vae evaluate`: figures compared with the model, tables, JSON and plots."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from scipy.stats import binomtest
from sklearn.metrics import average_precision_score, roc_auc_score
from typer.testing import CliRunner

from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.scoring import COUNTS, LocalScorer, evaluate_file

ROOT = Path(__file__).resolve().parents[2]
HOW_TO = (ROOT / "docs" / "how-to" / "evaluate.md").read_text()
REFERENCE = (ROOT / "docs" / "reference" / "evaluation.md").read_text()
LABELLED = {"label": "diagnosis", "anomalies": ("malignant",)}


def test_evaluation_of_a_labelled_csv_matches_numpy_and_scikit_learn(breast_cancer, cancer_csv) -> None:
    found = evaluate_file(breast_cancer, cancer_csv, num_samples=(1, 20), seed=1, **LABELLED)
    table = pyarrow.csv.read_csv(cancer_csv)
    odd = np.array(table["diagnosis"].to_pylist()) == "malignant"
    x = np.column_stack([table[name].to_numpy() for name in breast_cancer.spec.names])
    assert {name: len(bounds) for name, bounds in found.groups.items()} == {"normal": 357, "anomalies": 212}
    scores = LocalScorer(breast_cancer).score(x).score
    ranked = found.detection["score"]
    assert ranked["auroc"].value == pytest.approx(roc_auc_score(odd, scores), rel=1e-9)
    assert ranked["average_precision"].value == pytest.approx(average_precision_score(odd, scores), rel=1e-9)
    evidence_20 = np.empty(len(odd))
    evidence_20[~odd], evidence_20[odd] = (found.groups[g].log_evidence[:, 1] for g in ("normal", "anomalies"))
    by_evidence = found.detection["-log_evidence_20"]["auroc"].value
    assert by_evidence == pytest.approx(roc_auc_score(odd, -evidence_20), rel=1e-12)
    figures = found.figures["normal"]
    elbo = found.groups["normal"].elbo
    assert figures["elbo"].value == pytest.approx(elbo.mean())
    assert figures["elbo"].standard_error == pytest.approx(elbo.std(ddof=1) / np.sqrt(357))
    assert figures["elbo"].value == pytest.approx(figures["log_likelihood"].value - figures["kl"].value)
    near = breast_cancer.elbo(x[~odd]).elbo.mean()  # estimated with the published draws
    assert abs(figures["elbo"].value - near) < figures["elbo"].standard_error
    variance = breast_cancer.encode(x[~odd]).mu.var(axis=0)
    assert figures["active_units"].value == (variance > 0.01).sum()
    assert "bits_per_dim" not in figures


@pytest.mark.parametrize("alpha", [0.05, 0.2])
def test_alarms_on_labelled_rows_are_the_verdicts_of_the_score(breast_cancer, cancer_csv, alpha) -> None:
    found = evaluate_file(breast_cancer, cancer_csv, num_samples=(1,), alpha=alpha, batch_rows=100, **LABELLED)
    table = pyarrow.csv.read_csv(cancer_csv)
    odd = np.array(table["diagnosis"].to_pylist()) == "malignant"
    x = np.column_stack([table[name].to_numpy() for name in breast_cancer.spec.names])
    flagged = LocalScorer(breast_cancer, alpha=alpha).score(x).is_anomaly
    assert found.alarms is not None
    for rate, rows in ((found.alarms.found, odd), (found.alarms.false_alarms, ~odd)):
        assert (rate.hits, rate.n) == (flagged[rows].sum(), rows.sum())
        exact = binomtest(rate.hits, rate.n).proportion_ci(method="exact")
        assert (rate.low, rate.high) == (pytest.approx(exact.low, abs=1e-9), pytest.approx(exact.high, abs=1e-9))
    words = f"at alpha = {alpha:g}: {flagged[odd].sum()} of 212 anomalies found ("
    assert found.alarms.sentence().startswith(words)
    assert found.tree()["alarms"]["found"]["hits"] == flagged[odd].sum()


def test_alarms_that_no_row_can_raise_are_said_to_be_none(breast_cancer, cancer_csv) -> None:
    found = evaluate_file(breast_cancer, cancer_csv, num_samples=(1,), alpha=1e-6, **LABELLED)
    assert found.alarms is not None
    assert found.alarms.found.hits == 0
    assert found.alarms.sentence().startswith("no alarms at alpha = 1e-06: ")
    assert evaluate_file(breast_cancer, cancer_csv, num_samples=(1,)).alarms is None


def test_the_same_seed_gives_the_same_figures_for_any_batch_size(breast_cancer, cancer_csv, tmp_path) -> None:
    pq.write_table(pyarrow.csv.read_csv(cancer_csv), tmp_path / "cancer.parquet")
    reported: list[tuple[int, int, str]] = []
    one = evaluate_file(breast_cancer, cancer_csv, num_samples=(5,), seed=1, **LABELLED)
    two = evaluate_file(
        breast_cancer, tmp_path / "cancer.parquet", num_samples=(5,), seed=1, batch_rows=100, **LABELLED,
        progress=lambda *now: reported.append(now),
    )  # fmt: skip
    for group, bounds in one.groups.items():
        np.testing.assert_allclose(two.groups[group].log_evidence, bounds.log_evidence, rtol=1e-5)
    assert two.figures["normal"]["active_units"] == one.figures["normal"]["active_units"]
    assert [done for done, _, _ in reported] == sorted(done for done, _, _ in reported)
    assert reported[-1] == (569, 569, "rows")
    other = evaluate_file(breast_cancer, cancer_csv, num_samples=(5,), seed=2, **LABELLED)
    assert other.figures["normal"]["elbo"].value != one.figures["normal"]["elbo"].value


def test_images_have_bits_per_dimension_and_labels_from_a_file(digits, digit_images, tmp_path) -> None:
    x = np.concatenate([digit_images[:40], 255 - digit_images[:10]])
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "odd.npy", np.repeat([False, True], [40, 10]))
    label = str(tmp_path / "odd.npy")
    found = evaluate_file(
        digits, tmp_path / "x.npy", num_samples=(1, 8), label=label, anomalies=("true",), batch_rows=7
    )
    figures = found.figures["normal"]
    for bits, nats in (("bits_per_dim", "elbo"), ("bits_per_dim_8", "log_evidence_8")):
        assert figures[bits].value == pytest.approx(-figures[nats].value / (64 * np.log(2)))
        assert figures[bits].standard_error == pytest.approx(figures[nats].standard_error / (64 * np.log(2)))
    assert figures[bits].n == 40
    assert found.detection["score"]["auroc"].value > 0.9  # inverted digits are odd


def test_label_columns_of_every_type_are_read(breast_cancer, cancer_csv, tmp_path) -> None:
    table = pyarrow.csv.read_csv(cancer_csv).slice(0, 60)
    odd = [value == "malignant" for value in table["diagnosis"].to_pylist()]
    for kind in (pa.bool_(), pa.int8(), pa.float64(), pa.dictionary(pa.int8(), pa.string())):
        cells = pa.array([str(int(o)) for o in odd] if pa.types.is_dictionary(kind) else odd)
        column = cells.cast(kind) if not pa.types.is_floating(kind) else cells.cast(pa.int8()).cast(kind)
        path = tmp_path / "x.parquet"
        pq.write_table(table.append_column("odd", column), path)
        wanted = "True" if pa.types.is_boolean(kind) else "1"
        found = evaluate_file(breast_cancer, path, num_samples=(2,), label="odd", anomalies=(wanted,))
        assert len(found.groups["anomalies"]) == sum(odd), kind


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"num_samples": ()}, "num_samples: none, expected whole numbers of at least 1"),
        ({"num_samples": (10, 0)}, "num_samples: 0, expected whole numbers of at least 1"),
        ({"seed": -1}, "seed: -1, expected 0 or more"),
        ({"alpha": 1.5}, "alpha: 1.5 is not between 0 and 1"),
        ({"label": "diag"}, "label: no column 'diag' (did you mean 'diagnosis'?); there are: diagnosis, mean radius"),
        ({"label": "diagnosis"}, "no row is '1', so there is nothing to rank; the labels are 'benign', 'malignant'"),
        ({"label": "diagnosis", "anomalies": ("benign", "malignant")}, "every row is 'benign' or 'malignant'"),
        ({"label": "none.npy"}, "label: none.npy: no such file"),
        ({"label": "short.npy"}, "label: short.npy: 2 labels, but the input has at least 569 rows"),
        ({"label": "long.npy"}, "label: long.npy: 570 labels, but the input has 569 rows"),
        ({"label": "wide.npy"}, "label: wide.npy: shape (569, 2), expected one label per row"),
        ({"label": "hole.npy"}, "row 3, label 'hole.npy': missing"),
    ],
)
def test_invalid_arguments_are_refused_with_the_value_and_what_is_accepted(
    breast_cancer, cancer_csv, tmp_path, monkeypatch, given, message
) -> None:
    monkeypatch.chdir(tmp_path)
    np.save("short.npy", [0, 1])
    np.save("long.npy", np.ones(570))
    np.save("wide.npy", np.ones((569, 2)))
    np.save("hole.npy", np.where(np.arange(569) == 3, np.nan, 1.0))
    with pytest.raises(InputError, match=re.escape(message)):
        evaluate_file(breast_cancer, cancer_csv, **{"num_samples": (2,), **given})


def test_a_row_without_a_label_and_a_file_without_rows_are_refused(breast_cancer, cancer_csv, tmp_path) -> None:
    lines = cancer_csv.read_text().splitlines()
    (tmp_path / "empty.csv").write_text(lines[0] + "\n")
    with pytest.raises(InputError, match=r"empty\.csv: no rows"):
        evaluate_file(breast_cancer, tmp_path / "empty.csv", num_samples=(2,))
    lines[4] = " " + lines[4][lines[4].index(",") :]
    (tmp_path / "hole.csv").write_text("\n".join(lines))
    with pytest.raises(InputError, match="row 3, label 'diagnosis': missing"):
        evaluate_file(breast_cancer, tmp_path / "hole.csv", num_samples=(2,), **LABELLED)


def vae(*words: str | Path) -> Any:
    return CliRunner().invoke(app, ["evaluate", *map(str, words)])


def test_the_command_prints_a_table_and_writes_json_and_figures(cancer_csv, models_dir, tmp_path) -> None:
    from PIL import Image

    words = ("breast-cancer", cancer_csv, "--models", models_dir, "-k", "1", "-k", "8")
    words += ("--label", "diagnosis", "--anomaly", "malignant", "--out", tmp_path / "new" / "out")
    shown = vae(*words)
    assert shown.exit_code == 0, shown.output
    files = sorted(path.name for path in (tmp_path / "new" / "out").iterdir())
    assert files == ["evaluation.json", "evidence.png", "scores.png"]
    text = (tmp_path / "new" / "out" / "evaluation.json").read_text()
    tree = json.loads(text)
    for figures in (tree["figures"]["normal"], tree["detection"]["score"]):
        for name, figure in figures.items():
            error = f"{figure['standard_error']:.2g}" if "standard_error" in figure else "-"
            value = f"{figure['value']:.6g}"
            assert re.search(rf"│ {name} +│ +{re.escape(value)} │ +{re.escape(error)} │", shown.stdout)
    for name, alpha in (("evidence.png", 1.0), ("scores.png", 0.6)):
        pixels = np.asarray(Image.open(tmp_path / "new" / "out" / name).convert("RGB")).astype(float)
        for colour in ((0, 114, 178), (213, 94, 0)):  # of normal rows, of anomalies
            seen = alpha * np.array(colour) + (1 - alpha) * 255
            assert (np.abs(pixels - seen).sum(-1) < 12).sum() > 50, (name, colour)
    again = vae(*words[:-2], "--json")
    assert again.stdout == text


def test_anomaly_without_label_is_refused(cancer_csv, models_dir) -> None:
    done = vae("breast-cancer", cancer_csv, "--models", models_dir, "--anomaly", "malignant")
    assert "--anomaly: needs --label, the column or .npy file with the labels" in str(done.exception)


def test_without_matplotlib_the_json_is_still_written(cancer_csv, models_dir, tmp_path, monkeypatch) -> None:
    def absent(*_: object) -> None:
        raise ModuleNotFoundError("No module named 'matplotlib'", name="matplotlib")

    monkeypatch.setattr("vaekit.scoring.evaluation.plots.draw", absent)
    done = vae("breast-cancer", cancer_csv, "--models", models_dir, "-k", "1", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert "no figures: matplotlib is not installed" in done.stderr
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["evaluation.json"]


def test_evaluation_does_not_import_training_packages(cancer_csv, models_dir) -> None:
    code = f"""
import sys
from pathlib import Path
from vaekit import Model
from vaekit.scoring import evaluate_file
with Model.load({str(models_dir / "breast-cancer")!r}) as model:
    evaluate_file(model, Path({str(cancer_csv)!r}), num_samples=(2,), label="diagnosis", anomalies=("malignant",))
print(*sorted({{"torch", "sklearn", "matplotlib", "vaekit_training"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.strip()) == (0, ""), done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("command", re.findall(r"^vae evaluate .+$", HOW_TO, re.MULTILINE))
def test_every_command_of_the_how_to_works(command, cancer_csv, models_dir, tmp_path, monkeypatch) -> None:
    shutil.copytree(models_dir, tmp_path / "models")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    shutil.copy(cancer_csv, tmp_path / "cancer.csv")
    monkeypatch.chdir(tmp_path)
    done = vae(*shlex.split(command)[2:])
    assert done.exit_code == 0, done.output


@pytest.mark.parametrize("snippet", re.findall(r"```python\n(.*?)```", HOW_TO, re.DOTALL))
def test_every_snippet_of_the_how_to_runs(snippet, models_dir, tmp_path) -> None:
    shutil.copytree(models_dir, tmp_path / "models")
    shutil.copytree(ROOT / "examples", tmp_path / "examples")
    words = [sys.executable, "-W", "error", "-c", snippet]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_the_reference_lists_the_default_numbers_of_draws() -> None:
    assert f"K = {', '.join(f'{k:,}' for k in COUNTS)}" in REFERENCE
