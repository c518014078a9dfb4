"""The folds benchmark: the sets that rates are averaged over, and saved runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import folds


def one(way: str, name: str, auroc: float, alarms: dict[str, float]) -> dict[str, Any]:
    more = {"seed": 0, "rows": 40, "ap": 0.5, "smallest_alpha": 0.05}
    return {**more, "set": name, "way": way, "auroc": auroc, "false_alarms": alarms, "detected": alarms}


def test_rates_are_means_over_the_sets_that_are_large_enough_for_every_method() -> None:
    runs = [one(way, "large", 0.8, {"0.05": 0.04, "0.1": 0.08}) for way in folds.METHODS]
    runs += [one(way, "small", 0.6, {"0.1": 0.3} if way == "3 folds" else {}) for way in folds.METHODS]
    found = {figure.name: figure for figure in folds.figures(runs)}
    assert found["3 folds: AUROC"].value == pytest.approx(0.7)
    assert found["3 folds: false alarms at alpha = 0.1, 1 sets"].value == 0.08
    assert found["one split: sets large enough for alpha = 0.1"].value == 1
    assert found["3 folds: sets large enough for alpha = 0.1"].value == 2


@pytest.mark.slow
def test_runs_are_saved_and_not_measured_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(0)
    for name in folds.SETS[:2]:
        x = np.concatenate([rng.normal(size=(80, 2)), rng.normal(loc=6.0, size=(8, 2))])
        np.savez(tmp_path / f"{name}.npz", X=x, y=np.arange(88) >= 80)
    monkeypatch.setattr(folds, "QUICK_STEPS", 5)
    words = ["--data", str(tmp_path), "--quick", "--out", str(tmp_path / "out.json")]
    folds.main(words)
    runs = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [(run["set"], run["way"]) for run in runs] == [(s, way) for s in folds.SETS[:2] for way in folds.METHODS]
    told = [run["smallest_alpha"] for run in runs[:3]]  # of 40 rows: 8, and folds of 11 and of 7
    assert told == [1 / 9, 1 / 12, 1 / 8]
    monkeypatch.setattr(folds, "measure", None)
    folds.main(words)
    assert json.loads((tmp_path / "out.json").read_text())["settings"]["runs"] == runs
