"""Each notebook of docs/ runs, its assertions hold, and it prints what its page shows."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.builder import notebooks
from tests.conftest import ROOT
from tests.tutorials.pages import assert_shows

PAGES = notebooks.notebooks()


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_notebook_prints_what_its_page_shows(page: Path) -> None:
    cells = notebooks.cells_of(page.read_text(encoding="utf-8"))
    for cell, (printed, picture) in zip(cells, notebooks.run(page), strict=True):
        assert_shows(cell.printed, printed)
        assert bool(cell.picture) == (picture is not None)
        assert not cell.picture or (page.parent / cell.picture).exists()


def test_each_notebook_asserts_what_it_claims() -> None:
    assert [page.name for page in PAGES if "assert " not in page.read_text(encoding="utf-8")] == []
