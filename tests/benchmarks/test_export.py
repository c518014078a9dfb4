"""The export benchmark."""

from __future__ import annotations

import pytest

from benchmarks import export


@pytest.mark.parametrize("kind", export.TARGETS)
def test_an_export_is_measured_with_its_imports(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(export, "N", 200)
    found = export.arm(kind)
    assert set(found) == {"torch", "import", "export"}
    assert 0 < found["import"] <= found["export"]
