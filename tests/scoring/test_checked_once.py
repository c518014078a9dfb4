"""Rows of a file are checked when they are read, and not again by the model."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from vaekit.errors import InputError
from vaekit.runtime import Model, model
from vaekit.scoring import LocalScorer, evaluate_file, explain_row, publish_calibration, score_file


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Records the rows that the model checks."""
    seen: list[Any] = []
    check = model.read_rows

    def counted(rows: Any, spec: Any, **options: Any) -> Any:
        seen.append(rows)
        return check(rows, spec, **options)

    monkeypatch.setattr(model, "read_rows", counted)
    return seen


@pytest.fixture
def rows_file(benign_rows: NDArray[np.float64], tmp_path: Path) -> Path:
    np.save(tmp_path / "rows.npy", benign_rows[:40])
    return tmp_path / "rows.npy"


@pytest.mark.parametrize(
    "work",
    [
        lambda m, file: score_file(LocalScorer(m), file, file.with_name("out.parquet")),
        lambda m, file: score_file(LocalScorer(m, explain=2), file, file.with_name("out.parquet")),
        lambda m, file: evaluate_file(m, file, num_samples=[4]),
        lambda m, file: explain_row(m, file, 3, top=2),
    ],
    ids=["score", "score and explain", "evaluate", "explain"],
)
def test_rows_of_a_file_are_not_checked_again_by_the_model(
    work: Callable[[Model, Path], Any], breast_cancer: Model, rows_file: Path, checks: list[Any]
) -> None:
    work(breast_cancer, rows_file)
    assert checks == []


def test_calibration_rows_are_not_checked_again_by_the_model(
    models_dir: Path, rows_file: Path, tmp_path: Path, checks: list[Any]
) -> None:
    shutil.copytree(models_dir / "breast-cancer", tmp_path / "models" / "breast-cancer")
    with Model.load(tmp_path / "models" / "breast-cancer") as loaded:
        publish_calibration(loaded, rows_file)
    assert checks == []


@pytest.mark.parametrize("name", ["encode", "elbo", "bound", "surprise", "explain"])
def test_rows_passed_to_a_model_are_checked_once(
    name: str, breast_cancer: Model, benign_rows: NDArray[np.float64], checks: list[Any]
) -> None:
    ask = getattr(breast_cancer, name)
    ask(benign_rows[:3])
    assert len(checks) == 1
    with pytest.raises(InputError, match="not finite"):
        ask(np.full((1, breast_cancer.spec.dim), np.inf))
