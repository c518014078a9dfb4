"""The ways to a first verdict: their files are complete, and a way runs its four steps in an environment of its own."""

from __future__ import annotations

import ast
from pathlib import Path

import numpy as np
import pytest

from benchmarks.first_verdict import way as module
from benchmarks.first_verdict.__main__ import facts, rows
from benchmarks.first_verdict.way import STEPS, WAYS, Run, Way

NAMES = sorted(each.name for each in WAYS.iterdir() if each.is_dir())


@pytest.mark.parametrize("name", NAMES)
def test_a_way_has_its_steps_and_its_files_are_valid_python(name):
    way = Way(name)
    assert {*STEPS, "ready"} == set(way.steps)
    for file in way.files:
        text = file.read_text(encoding="utf-8")
        if file.suffix == ".py":
            ast.parse(text)
    assert way.lines == 4 + sum(
        bool(line.strip()) and not line.startswith("#")
        for file in way.files
        for line in file.read_text(encoding="utf-8").split("\n")
    )


def test_a_detector_of_the_peers_is_trained_by_the_same_script():
    assert len({(WAYS / name / "train.py").read_text(encoding="utf-8") for name in NAMES if name != "vaekit"}) == 1


def test_a_way_runs_its_steps_in_its_own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "ways" / "fake"
    folder.mkdir(parents=True)
    (folder / "steps.toml").write_text(
        "install = 'python -c \"import sys; assert sys.prefix != sys.base_prefix\"'\n"
        "train = 'test -f train.csv'\n"
        "serve = 'python -m http.server $PORT --bind 127.0.0.1'\n"
        "ask = 'cat new.csv'\n"
        "ready = '/train.csv'\n",
        encoding="utf-8",
    )
    monkeypatch.setattr(module, "WAYS", tmp_path / "ways")
    data = {"train.csv": "a\n1\n", "new.csv": "p_value,is_anomaly\n0.5,False\n0.01,True\n"}
    run = Way("fake").run(tmp_path / "work", data, {})
    assert run.verdicts == [False, True]
    assert list(run.seconds) == list(STEPS)
    assert Way("fake").lines == 4


def test_false_alarms_are_compared_with_those_of_a_calibrated_detector():
    _, normal = rows()
    held = [{"p_value": "0.01", "score": str(i)} for i in range(len(normal))]  # 99 calibration rows
    few = np.zeros(len(normal), dtype=bool)
    few[np.flatnonzero(normal)[:9]] = True  # 9 of 179
    assert facts(Way("vaekit"), Run(dict.fromkeys(STEPS, 1.0), few.tolist(), held), normal)["holds"]
    many = few | normal
    assert not facts(Way("vaekit"), Run(dict.fromkeys(STEPS, 1.0), many.tolist(), held), normal)["holds"]
    with pytest.raises(SystemExit, match="1 verdicts for 391 rows"):
        facts(Way("vaekit"), Run({}, [True], held), normal)
