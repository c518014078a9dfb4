"""Lists of rows show the id that training recognised beside the row number."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from vaekit.cli import app
from vaekit.tabular.row_names import END, LONGEST, id_text, of_id

FIRST = 100_001


def vae(*words: str | Path) -> str:
    done = CliRunner().invoke(app, list(map(str, words)))
    assert done.exit_code == 0, done.output
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: Any) -> Path:
    """A model of rows with the column reading_id, in models/rows; row 7 of rows.csv is wrong."""
    path: Path = tmp_path_factory.mktemp("ids")
    x = np.random.default_rng(0).standard_normal((80, 2)).round(4)
    lines = [f"{FIRST + i},{a},{b}" for i, (a, b) in enumerate(x)]
    (path / "rows.csv").write_text("\n".join(["reading_id,a,b", *lines]) + "\n", encoding="utf-8")
    vae("train", path / "rows.csv", "--models", path / "models", "--run", path / "run")
    lines[7] = f"{FIRST + 7},40,0"
    (path / "rows.csv").write_text("\n".join(["reading_id,a,b", *lines]) + "\n", encoding="utf-8")
    return path


def test_the_report_explain_and_the_summary_name_rows_by_id_too(folder: Path, tmp_path: Path) -> None:
    asked = ("--models", folder / "models")
    report = (folder / "models/rows/1/report/report.html").read_text(encoding="utf-8")
    shown = re.findall(r"<strong>row (\d+) \(reading_id (\d+)\)</strong>", report)
    assert shown
    assert all(int(id) == FIRST + int(row) for row, id in shown)
    text = vae("explain", "rows", folder / "rows.csv", "--top", "2", *asked)
    assert f"row 7 (reading_id {FIRST + 7}) of rows.csv" in text
    (one,) = json.loads(vae("explain", "rows", folder / "rows.csv", "--top", "1", "--json", *asked))["rows"]
    assert (one["row"], one["id_column"], one["id"]) == (7, "reading_id", str(FIRST + 7))
    vae("score", "rows", folder / "rows.csv", tmp_path / "out.csv", "--summary", tmp_path / "run.json", *asked)
    summary = json.loads((tmp_path / "run.json").read_text(encoding="utf-8"))
    assert summary["id_column"] == "reading_id"
    assert (summary["top"][0]["row"], summary["top"][0]["id"]) == (7, str(FIRST + 7))


def test_a_file_without_the_column_has_row_numbers_only(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "bare.csv").write_text("a,b\n0,0\n40,0\n", encoding="utf-8")
    text = vae("explain", "rows", tmp_path / "bare.csv", "--top", "1", "--models", folder / "models")
    assert "row 1 of bare.csv" in text
    assert "reading_id" not in text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (7, "7"),
        (7.0, "7"),
        (" R-7 ", "R-7"),
        (None, None),
        (float("nan"), None),
        ("x" * LONGEST, "x" * LONGEST),
        ("x" * 99 + "/" + "y" * (END - 1), "x" * (LONGEST - END - 1) + "\u2026/" + "y" * (END - 1)),
    ],
)
def test_ids_are_shown_as_text(value: Any, text: str | None) -> None:
    assert id_text(value) == text


def test_without_an_id_nothing_is_added() -> None:
    assert of_id(None, "7") == of_id("id", None) == ""
    assert of_id("id", "7") == " (id 7)"
