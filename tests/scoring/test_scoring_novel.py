"""Novel rows in scored files: kept, named, counted, and first among the most anomalous."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from tests.conftest import ROOT
from tests.kinds import NAMES, Published, mixed_rows
from vaekit.cli import app
from vaekit.cli.score_report import report
from vaekit.errors import InputError
from vaekit.runtime import Model
from vaekit.scoring import Options, score_file
from vaekit.scoring.evaluation.explain_plots import headline
from vaekit.scoring.evaluation.explain_row import explain_row
from vaekit.scoring.scorers import LocalScorer

NOVEL = {7: ("0.5,2,3,1,pink", "colour"), 20: ("0.5,-2,2.5,1,red", "size, stops"), 33: ("0.5,,3,,", "size, on, colour")}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """40 rows as CSV, of which three are novel."""
    rows = [",".join("" if cell is None else f'"{cell}"' for cell in row) for row in mixed_rows(40, seed=5)]
    for at, (text, _) in NOVEL.items():
        rows[at] = text
    (tmp_path / "rows.csv").write_text("\n".join([",".join(NAMES), *rows]) + "\n")
    return tmp_path / "rows.csv"


@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_novel_rows_are_scored_named_counted_and_rank_first(
    mixed: Published, table: Path, ending: str, capsys: pytest.CaptureFixture[str]
) -> None:
    output = table.with_name(f"scored.{ending}")
    with Model.load(mixed.folder, device="cpu") as model:
        summary = score_file(LocalScorer(model, alpha=0.1), table, output)
    out = (pq.read_table if ending == "parquet" else pyarrow.csv.read_csv)(output)
    names = [name or None for name in out["novel"].to_pylist()]
    assert {at: name for at, name in enumerate(names) if name} == {at: name for at, (_, name) in NOVEL.items()}
    assert out["p_value"].null_count == out["score"].null_count == 0
    assert all(out["is_anomaly"].to_pylist()[at] for at in NOVEL)
    assert summary.novel == 3
    assert {row.row for row in summary.tally.top[:3]} == set(NOVEL)
    assert summary.to_json()["novel"] == 3
    json.dumps(summary.to_json(), allow_nan=False)
    report(summary)
    assert "3 rows are novel, with a level unseen in training, a number outside its column's kind, or more" in (
        capsys.readouterr().out
    )


def test_explain_names_a_level_unseen_in_training(mixed: Published, table: Path) -> None:
    for words in (["--row", "7"], ["--rows", "7"], ["--top", "3"]):
        done = CliRunner().invoke(app, ["explain", str(mixed.folder), str(table), *words])
        assert "'pink', unseen" in done.stdout
        done = CliRunner().invoke(app, ["explain", str(mixed.folder), str(table), *words, "--json"])
        tree = json.loads(done.stdout)
        found = next(row for row in tree.get("rows", [tree]) if row["row"] == 7)
        assert found["unseen"] == {"colour": "pink"}
    with Model.load(mixed.folder, device="cpu") as model:
        one = explain_row(model, table, 7, top=5)
    assert "colour is 'pink', unseen" in headline(
        replace(one, cells=[c for c in one.cells if c["feature"] == "colour"])
    )


def test_strict_refuses_novel_rows(mixed: Published, table: Path) -> None:
    strict = Options(strict=True)
    with Model.load(mixed.folder, device="cpu") as model, pytest.raises(InputError, match="row 20, feature 'size'"):
        score_file(LocalScorer(model, alpha=0.1), table, table.with_name("out.csv"), options=strict)
    assert not table.with_name("out.csv").exists()


def test_too_few_calibration_rows_for_alpha_give_p_values_and_say_what_to_do(
    mixed: Published, table: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with Model.load(mixed.folder, device="cpu") as model:
        summary = score_file(LocalScorer(model, alpha=0.001), table, table.with_name("out.csv"))
    assert summary.anomalies == 0
    assert summary.reason is None
    report(summary)
    said = capsys.readouterr().out
    assert "so no row can be an anomaly; use an alpha of at least" in said
    assert "or calibrate on at least 999 rows\n" in said
    assert "folds" not in said
    assert "windows" not in said


def test_novel_rows_that_an_old_bundle_cannot_score_are_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.csv"
    rows.write_text("load,stops,colour\n25,3,blue\n25,3,violet\n25,-1,red\n")
    with Model.load(ROOT / "tests" / "old" / "sensors", device="cpu") as model:
        summary = score_file(LocalScorer(model, alpha=0.1), rows, tmp_path / "out.parquet")
    assert (summary.novel, summary.to_json()["unscored"]) == (2, 2)
    assert pq.read_table(tmp_path / "out.parquet")["p_value"].null_count == 0
    json.dumps(summary.to_json(), allow_nan=False)
    report(summary)
    said = capsys.readouterr().out
    assert "2 of them have no ELBO, because the model was published before format 1.3: train it again to score" in said
