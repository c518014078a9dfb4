"""The pictures of the page in the docs. VAEKIT_PAGE_PICTURES=docs/images writes them there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.page import mixed_table
from tests.page.conftest import Play

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

COLOURS = 200  # of a picture; keeps the files small
LARGEST = 150_000  # bytes


def test_the_pictures_of_the_docs_can_be_drawn(play: Play, page_url: str, tmp_path: Path) -> None:
    (tmp_path / "machines.csv").write_text(mixed_table.faulty_text(400, 36), encoding="utf-8")
    more = {"url": page_url, "model": "machines", "file": str(tmp_path / "machines.csv"), "folder": str(tmp_path)}
    play(
        "pictures",
        [{**more, "width": width, "scheme": scheme} for width in (390, 1280) for scheme in ("light", "dark")],
    )
    drawn = {path.name for path in tmp_path.glob("page-*.png")}
    assert drawn == {
        f"page-{what}-{scheme}.png" for what in ("overview", "rows", "editor", "phone") for scheme in ("light", "dark")
    }
    if folder := os.environ.get("VAEKIT_PAGE_PICTURES"):
        for name in sorted(drawn):
            with Image.open(tmp_path / name) as picture:
                picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE).save(
                    Path(folder) / name, optimize=True
                )


def test_the_pictures_in_the_docs_are_small() -> None:
    pictures = sorted((ROOT / "docs" / "images").glob("page-*.png"))
    assert len(pictures) == 8
    assert [path.name for path in pictures if path.stat().st_size > LARGEST] == []
