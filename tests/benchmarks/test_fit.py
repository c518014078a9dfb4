"""The fit benchmark."""

from __future__ import annotations

import pytest

from benchmarks import fit


def test_a_fit_is_measured_in_total_and_by_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fit, "SIZES", {"quick": (fit.SMALL,)})
    monkeypatch.setattr(fit, "SETTINGS", ("training.steps=20",))
    found = {one.name: one for one in fit.measure("quick")}
    label = "120 rows, 3 columns"
    pieces = [found[f"{part}, {label}"].value for part in ("training", "export, parity, calibration", "loading")]
    assert min(pieces) > 0
    assert found[f"fit, {label}"].value == pytest.approx(sum(pieces))
    assert found[f"fit, {label}"].target is None


def test_the_main_size_has_a_target() -> None:
    assert (fit.N, fit.D) in fit.SIZES["full"]
