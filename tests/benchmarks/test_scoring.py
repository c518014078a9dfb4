"""The batch scoring benchmark: results of arms, ratios, and detection of errors."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest
from pyarrow import parquet

from benchmarks.plan import Plan
from benchmarks.processes import ROOT, run_arm
from benchmarks.scoring import card, kill, rows, throughput
from benchmarks.scoring.throughput import compare
from vaekit.runtime import Model
from vaekit.scoring.output_columns import APPENDED


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return rows.model(tmp_path_factory.mktemp("model"), half=True)


def test_generated_rows_have_the_requested_number_and_full_files_are_hard_links(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(rows, "FILE_ROWS", 100)
    folder = rows.generate(tmp_path / "rows", 350)
    files = sorted(folder.iterdir())
    assert [parquet.read_metadata(file).num_rows for file in files] == [100, 100, 100, 50]
    assert files[0].samefile(files[2])
    assert parquet.read_table(files[0]).num_columns == rows.D


@pytest.mark.slow
@pytest.mark.parametrize("module", ["ours", "raw"])
def test_an_arm_returns_rows_and_seconds(bundle: Path, tmp_path: Path, module: str) -> None:
    source = rows.generate(tmp_path / "rows", 1_000)
    asked = ["--bundle", str(bundle), "--source", str(source), "--out", str(tmp_path / "out")]
    found = run_arm(f"scoring.arms.{module}", [*asked, "--num-samples", "2", "--threads", "1"])
    assert found["rows"] == 1_000
    assert 0 < found["seconds"] < found["process_seconds"]
    if module == "ours":
        assert parquet.read_table(tmp_path / "out").num_columns == rows.D + len(APPENDED) + 1  # and `novel`


def test_targets_are_met_by_a_fast_scorer_only() -> None:
    rates = {"vaekit, K = 2": [90.0], "raw, K = 2": [100.0], "vaekit, K = 16": [70.0], "raw, K = 16": [100.0]}
    targets = {"K = 2": 10.0, "K = 16": 1.5}
    found = {one.name: one for one in compare({**rates, "PyOD": [50.0]}, targets)}
    assert found["vaekit / raw ONNX Runtime, K = 16"].met is False
    assert found["vaekit / raw ONNX Runtime, K = 2"].met is None
    assert found["vaekit, K = 16 / PyOD"].value == 1.4
    assert found["vaekit, K = 16 / PyOD"].met is False
    faster = {one.name: one for one in compare({**rates, "PyOD": [7.0]}, targets)}
    assert faster["vaekit, K = 2 / PyOD"].met is True


def test_a_ratio_has_the_ratio_of_medians_and_the_range_of_rounds() -> None:
    found = throughput.ratio_figure("x", [10.0, 30.0, 20.0], [10.0, 10.0, 40.0], None)
    assert (found.value, found.low, found.high) == (2.0, 0.5, 3.0)


@pytest.mark.slow
def test_a_gpu_is_measured_if_all_results_agree(bundle: Path, tmp_path: Path, monkeypatch) -> None:
    """Uses the CPU in place of the GPU, without CUDA graphs."""
    monkeypatch.setattr(rows, "model", lambda *_, half: bundle if half else None)
    monkeypatch.setattr(card, "ROWS", (0, 600))
    monkeypatch.setattr(card, "SINGLE", 2)
    monkeypatch.setattr(card, "LIKELIHOODS", {"gaussian": "gaussian"})
    found = card.measure(Plan(True, tmp_path, None), device="cpu")
    names = [figure.name for figure in found.figures]
    assert "gaussian, K = 16: card / CPU" in names
    assert "gaussian, K = 16, one row: card, float16 / card" in names
    assert not any(card.GRAPHS in name for name in names)
    assert all(figure.value > 0 for figure in found.figures)
    off = found.facts["largest difference from the CPU in nats"]["gaussian, K = 16"]
    assert off[card.CARD] == 0.0 < off[card.FLOAT16] < card.HALF_TOLERANCE


def test_a_gpu_with_different_results_is_not_measured(bundle: Path) -> None:
    x = rows.rows(3)
    with Model.load(bundle, device="cpu") as model:
        good, bad = SimpleNamespace(bound=model.bound), SimpleNamespace(bound=lambda x: model.bound(x + 1.0))
        models: dict[str, Any] = {card.CPU: model, card.CARD: good}
        assert card.largest_differences(models, x) == {card.CPU: 0.0, card.CARD: 0.0}
        with pytest.raises(SystemExit, match=r"card: an ELBO differs by [0-9.]+ nats from the CPU's"):
            card.largest_differences({**models, card.CARD: bad}, x)


def test_lost_duplicated_and_changed_rows_are_counted(tmp_path: Path) -> None:
    for name, values in (("a", [1, 2, 3]), ("lost", [1, 2]), ("doubled", [1, 2, 2, 3]), ("changed", [1, 9, 3])):
        (tmp_path / name).mkdir()
        parquet.write_table(pa.table({"x": values}), tmp_path / name / "part-00000.parquet")
    assert kill.differing(tmp_path / "a", tmp_path / "a") == 0
    assert [kill.differing(tmp_path / "a", tmp_path / name) for name in ("lost", "doubled", "changed")] == [1, 1, 1]


@pytest.mark.slow
def test_one_part_is_measured_from_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    start = [sys.executable, "-m", "benchmarks.scoring", "--quick", "--rows", "100000", "--only", "scale"]
    subprocess.run([*start, "--out", str(out), "--work", str(tmp_path)], cwd=ROOT, check=True, capture_output=True)
    found = json.loads(out.read_text())
    assert found["figures"][0]["name"].startswith("100,000 rows")
    assert found["figures"][1]["value"] > 0
