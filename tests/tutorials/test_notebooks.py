"""Each notebook of docs/ asserts what it claims; tests/docs runs the notebooks."""

from __future__ import annotations

from docs.builder import notebooks


def test_each_notebook_asserts_what_it_claims() -> None:
    pages = notebooks.notebooks()
    assert [page.name for page in pages if "\nassert " not in page.read_text(encoding="utf-8")] == []
