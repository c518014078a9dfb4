"""Tests of the measurement code: order of runs, targets, and written results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import encode
from benchmarks.report import Figure, interleave, publish

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("value", "target", "better", "met"),
    [
        (40.0, 50.0, "lower", True),
        (60.0, 50.0, "lower", False),
        (60.0, 50.0, "higher", True),
        (40.0, 50.0, "higher", False),
        (40.0, None, "lower", None),
    ],
)
def test_a_target_is_met_by_a_better_value(value: float, target: float | None, better: str, met: bool | None) -> None:
    assert Figure("time", value, "ms", target=target, better=better).met is met


def test_a_figure_has_the_median_and_range_of_its_rounds() -> None:
    figure = Figure.of("time", [5.0, 1.0, 2.0], "ms")
    assert (figure.low, figure.value, figure.high) == (1.0, 2.0, 5.0)


@pytest.mark.slow
def test_contenders_warm_up_once_and_then_rotate_in_each_round() -> None:
    calls: list[str] = []
    seconds = interleave({name: lambda name=name: calls.append(name) for name in "abc"}, rounds=3)
    assert "".join(calls) == "abc" + "abc" + "bca" + "cab"
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 3, "b": 3, "c": 3}


def test_results_have_figures_targets_machine_and_versions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out, name = tmp_path / "deep" / "results.json", "a" * 70
    publish(out, "two figures", [Figure(name, 1.0, "ms", 0.5, 2.0, target=3.0), Figure("b", 2.0, "times")], ["numpy"])
    assert "1 ms │ 0.5 .. 2 │ <= 3 ms │ yes" in capsys.readouterr().out
    written = json.loads(out.read_text())
    assert [(figure["name"], figure["value"], figure["met"]) for figure in written["figures"]] == [
        (name, 1.0, True),
        ("b", 2.0, None),
    ]
    assert written["versions"]["numpy"] == np.__version__
    assert written["machine"]["cores"] >= 1
    assert out.with_suffix(".png").read_bytes().startswith(b"\x89PNG")


def test_encode_implementations_agree_and_a_wrong_one_is_refused() -> None:
    ways = encode.contenders()
    encode.check_equal(ways)
    ways["wrong"] = lambda: ways["array, vaekit"]() * 2
    with pytest.raises(SystemExit, match="wrong returns another array than vaekit"):
        encode.check_equal(ways)


@pytest.mark.slow
def test_the_encode_benchmark_runs_from_the_command_line(tmp_path: Path) -> None:
    out = tmp_path / "results.json"
    command = [sys.executable, "-m", "benchmarks.encode", "--quick", "--out", str(out)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    names = [figure["name"] for figure in json.loads(out.read_text())["figures"]]
    assert "lists, vaekit" in names
    assert "lists: cell by cell / vaekit" in names
