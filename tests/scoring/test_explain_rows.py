"""`vae explain` of several rows: the most anomalous ones, those of a condition, and those with given numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

from vaekit.cli import app
from vaekit.errors import InputError
from vaekit.scoring.evaluation.row_filter import Condition
from vaekit.tabular.csv_text import CsvDialect


@pytest.fixture(scope="module")
def rows_csv(tmp_path_factory: Any, benign_rows: Any, breast_cancer: Any) -> Path:
    """Benign rows of machines A and B; the worst areas of rows 5 and 2 are wrong, that of row 5 more."""
    rows = benign_rows[:8].copy()
    rows[5, 23] *= 3
    rows[2, 23] *= 2
    path = tmp_path_factory.mktemp("explain") / "rows.csv"
    lines = [f"{'AB'[i % 2]},{','.join(map(str, row))}" for i, row in enumerate(rows)]
    path.write_text("\n".join([",".join(["machine", *breast_cancer.spec.names]), *lines]) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def explain(rows_csv: Path, models_dir: Path) -> Any:
    def call(*words: str | Path) -> Any:
        words = ("explain", "breast-cancer", rows_csv, *words, "--models", models_dir)
        return CliRunner().invoke(app, list(map(str, words)))

    return call


def chosen(done: Any) -> list[int]:
    assert done.exit_code == 0, done.output
    return [row["row"] for row in json.loads(done.stdout)["rows"]]


def test_top_explains_the_most_anomalous_rows_first(explain: Any) -> None:
    done = explain("--top", "2", "--json")
    assert chosen(done) == [5, 2]
    found = json.loads(done.stdout)
    assert (found["model"], found["data"]) == ("breast-cancer@1", "rows.csv")
    assert [row["cells"][0]["feature"] for row in found["rows"]] == ["worst area"] * 2
    assert {len(row["cells"]) for row in found["rows"]} == {3}
    assert explain("--top", "2").stdout.count("worst area") == 2


def test_without_a_choice_three_rows_are_explained(explain: Any) -> None:
    assert chosen(explain("--json"))[:2] == [5, 2]
    assert len(chosen(explain("--json"))) == 3


@pytest.mark.parametrize(
    ("words", "rows"),
    [
        (("--where", "machine == B"), [1, 3, 5, 7]),
        (("--where", "'machine' = 'A'", "--rows", "0-3"), [0, 2]),
        (("--where", "machine != B", "--top", "1"), [2]),
        (("--rows", "3,1"), [1, 3]),
        (("--rows", "4-6"), [4, 5, 6]),
    ],
)
def test_rows_are_chosen_by_condition_and_number(explain: Any, words: tuple[str, ...], rows: list[int]) -> None:
    assert chosen(explain(*words, "--json")) == rows


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--row", "5", "--top", "4"), "--top 4: the number of rows to explain, which --row names already; --cells 4"),
        (("--row", "5", "--rows", "3"), "--row: names the only row"),
        (("--where", "machin == B"), "no column 'machin' (did you mean 'machine'?)"),
        (("--where", "machine"), "'machine': expected COLUMN == VALUE"),
        (("--where", "machine == C"), "no row fulfils the condition"),
        (("--rows", "2,8"), "row 8: "),
        (("--rows", "two"), "--rows two: expected numbers of rows"),
        (("--top", "2", "--out", "rows.png"), "several rows are drawn into a folder"),
    ],
)
def test_a_choice_that_cannot_be_made_is_refused(explain: Any, words: tuple[str, ...], says: str) -> None:
    done = explain(*words)
    assert isinstance(done.exception, InputError)
    assert says in str(done.exception)


def test_several_rows_are_drawn_into_a_folder(explain: Any, tmp_path: Path) -> None:
    assert explain("--top", "2", "--out", tmp_path / "drawn").exit_code == 0
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["row-2.png", "row-5.png"]


@pytest.mark.parametrize(
    ("condition", "fulfilled"),
    [
        ("x > 2", [False, False, True, False]),
        ("x <= 2.0", [True, True, False, False]),
        ("x == 10", [False, False, True, False]),
        ("x != 1", [False, True, True, False]),
        ("x != ''", [True, True, True, False]),
        ("x == ''", [False, False, False, True]),
    ],
)
def test_numbers_are_compared_as_numbers_and_a_missing_cell_is_an_empty_text(
    condition: str, fulfilled: list[bool]
) -> None:
    numbers = pa.record_batch({"x": pa.array([1.0, 2.0, 10.0, None])})
    text = pa.record_batch({"x": pa.array(["1,0", "2", "10", " "])})
    assert Condition.of(condition).mask(numbers).tolist() == fulfilled
    assert Condition.of(condition).mask(text, CsvDialect(";", ",")).tolist() == fulfilled
    assert np.array_equal(Condition.of("x < 0").mask(numbers), [False] * 4)
