"""The privacy benchmark: means over seeds, and a short run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import privacy


def test_figures_are_means_over_the_seeds_of_a_set_and_a_prior() -> None:
    of_one = dict.fromkeys(privacy.PRIVACY, 0.5)
    runs = [
        {**of_one, "set": "wine", "prior": prior, "seed": seed, "training_rows": 8, "auroc": 0.6 + 0.2 * seed}
        for prior in privacy.PRIORS
        for seed in (0, 1)
    ]
    found = {figure.name: figure for figure in privacy.figures(runs)}
    assert found["wine, normal: auroc"].value == pytest.approx(0.7)
    assert found["wine, aggregate: training_rows"].value == 8
    assert len(found) == 2 * (len(privacy.PRIVACY) + 2)


@pytest.mark.slow
def test_a_quick_run_measures_both_priors(tmp_path: Path) -> None:
    privacy.main(["--quick", "--out", str(tmp_path / "out.json")])
    runs = json.loads((tmp_path / "out.json").read_text())["settings"]["runs"]
    assert [run["prior"] for run in runs] == ["aggregate", "normal"]
    assert runs[0]["training_rows"] > 0
    assert runs[1]["training_rows"] == 0
