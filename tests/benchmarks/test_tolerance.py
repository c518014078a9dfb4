"""The benchmark of tolerance rules: shares over sets and seeds, and a short run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import tolerance


def test_figures_are_shares_of_all_alarms_of_a_case() -> None:
    seconds = {f"{name}_seconds": 0.5 for name in ("score", *tolerance.WAYS)}
    runs = [
        {"set": name, "case": case, "error": error, "alarms": alarms, "in order": alarms // 2, "at once": 0, **seconds}
        for case in tolerance.CASES
        for error in tolerance.ERRORS
        for name, alarms in (("wine", 10), ("digits", 30))
    ]
    found = {figure.name: figure for figure in tolerance.figures(runs)}
    assert found["another cell, 4 sd: in order"].value == pytest.approx(0.5)
    assert found["another cell, 4 sd: in order"].better == "lower"
    assert found["one tolerated cell, swapped: at once"].value == 0
    assert found["a row scored"].value == pytest.approx(1e3 * 0.5 / 20)


@pytest.mark.slow
def test_a_quick_run_counts_alarms_of_every_case(tmp_path: Path) -> None:
    tolerance.main(["--quick", "--out", str(tmp_path / "out.json")])
    runs = json.loads((tmp_path / "out.json").read_text())["settings"]["runs"]
    assert {run["case"] for run in runs} == set(tolerance.CASES)
    assert all(0 <= run["in order"] <= run["alarms"] for run in runs)
    assert sum(run["alarms"] for run in runs) > 0
