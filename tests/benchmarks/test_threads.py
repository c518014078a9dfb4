"""The benchmark of threads and processes: its arms, and processes that run at the same time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import threads
from vaekit.runtime import Model


@pytest.mark.slow
def test_every_arm_is_measured_at_every_number_of_rows(models_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "ROWS", (1, 3))
    figures = threads.measure({"digits": models_dir / "digits"}, rounds=1, seconds=0.02)
    arms = ("1 thread", "2 threads", "2 processes of 1 thread")
    labels = [f"digits, batches of {n}: {arm}" for n in (1, 3) for arm in arms]
    assert [figure.name for figure in figures] == [name for label in labels for name in (label, f"{label}, p50")]
    assert all(figure.value > 0 for figure in figures)


def test_the_processes_of_an_arm_run_at_the_same_time() -> None:
    happened: list[str] = []

    class Noted(threads.Worker):
        def __init__(self, name: str, rows: float) -> None:
            self._name, self._rows = name, rows

        def begin(self, *_: Any) -> None:
            happened.append(f"{self._name} begins")

        def end(self) -> threads.Timing:
            happened.append(f"{self._name} ends")
            return {"rows": self._rows, "p50": self._rows / 10}

    found = threads.run_together([Noted("a", 10.0), Noted("b", 30.0)], Path("x"), 1, 1.0)
    assert happened == ["a begins", "b begins", "a ends", "b ends"]
    assert found == {"rows": 40.0, "p50": 2.0}


def test_the_rate_is_of_all_calls_after_the_warm_up_and_the_median_of_one(
    digits: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, seconds = [0.0], iter([0.5, 0.75, 0.25, 0.25, 0.5, 9.25])  # of the calls; the second is warm-up
    monkeypatch.setattr(threads, "perf_counter", lambda: clock[0])

    def elbo(*_: Any) -> None:
        clock[0] += next(seconds)

    monkeypatch.setattr(digits, "elbo", elbo)
    found = threads.timed(digits, 4, 10.0)
    assert found["p50"] == 500.0  # of 0.5, 0.25, 0.25, 0.5 and 9.25 s
    assert found["rows"] == pytest.approx(4 / 2.15)


@pytest.mark.slow
def test_the_image_model_is_convolutional(tmp_path: Path) -> None:
    bundle = threads.make_conv(tmp_path)
    with Model.load(bundle, device="cpu", threads=1) as model:
        assert model.elbo(threads.rows_of(model, 2)).elbo.shape == (2,)
    assert json.loads((bundle / "manifest.json").read_text())["provenance"]["config"]["network"]["name"] == "conv"
