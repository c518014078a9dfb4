"""Every notebook runs, prints what its page shows, and draws the pictures that it names."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path

import pytest

from docs.builder import notebooks

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e[+-]?\d+)?")
PAGES = notebooks.notebooks()


def agrees(printed: str, shown: str) -> bool:
    """Whether two texts are equal but for the last digits of their numbers and the width of their columns."""
    words, others = (re.sub(r"\s+", " ", NUMBER.sub("#", text)).strip() for text in (printed, shown))
    numbers = zip(map(float, NUMBER.findall(printed)), map(float, NUMBER.findall(shown)), strict=False)
    return words == others and all(math.isclose(a, b, rel_tol=0.02, abs_tol=0.02) for a, b in numbers)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_shows(page: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTHONPATH", "IPYTHONDIR"):  # are restored after the test
        monkeypatch.setenv(name, os.environ.get(name, ""))
    notebooks.prepare_kernels()
    cells = notebooks.cells_of(page.read_text(encoding="utf-8"))
    for cell, (printed, picture) in zip(cells, notebooks.run(page), strict=True):
        assert agrees(printed, cell.printed), f"make notebooks renews it:\n{cell.code}\n{printed}"
        assert (picture is None) == (cell.picture == ""), cell.code


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_notebook_has_pictures_with_files(page: Path) -> None:
    pictures = [cell.picture for cell in notebooks.cells_of(page.read_text(encoding="utf-8")) if cell.picture]
    assert [name for name in pictures if not (page.parent / name).is_file()] == []


def test_texts_that_differ_in_rounding_agree() -> None:
    assert agrees("elbo 1.234  n 3", "elbo 1.235 n 3")
    assert not agrees("elbo 1.5", "elbo 1.2")
    assert not agrees("elbo 1.5", "kl 1.5")
