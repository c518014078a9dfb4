"""The page in Chromium: every panel, on phones and large screens, light and dark, without errors or violations."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.page import mixed_table
from tests.page.conftest import Play, screens

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODELS = ("breast-cancer", "digits", "machines")
TABLES = ("breast-cancer", "machines")


@pytest.fixture
def rows_file(tmp_path: Path) -> str:
    """A file of rows of the mixed table, some of them spoilt."""
    path = tmp_path / "machines.csv"
    path.write_text(mixed_table.text(300), encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("model", MODELS)
def test_the_page_shows_a_model(model: str, play: Play, page_url: str) -> None:
    play("model", screens(url=page_url, model=model))


@pytest.mark.parametrize("model", TABLES)
def test_rows_are_scored_flagged_marked_and_edited(model: str, play: Play, page_url: str, rows_file: str) -> None:
    play("rows", screens(url=page_url, model=model, file=rows_file))
