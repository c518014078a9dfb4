"""The panels of latent space, images and model health, in Chromium; and their pure modules, in node."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.page.conftest import Play, screens

MODELS = ("breast-cancer", "digits", "machines")
PICTURES = {f"{name}.png" for name in ("images-panel", "latent-space-map", "latent-space-sliders", "latent-space-walk")}
COLOURS = 255  # of a picture; keeps the files small
LARGEST = 70_000  # bytes
FAILURE = r"status of 500"  # which Chromium writes to the console


@pytest.mark.skipif(shutil.which("node") is None, reason="needs node")
def test_the_modules_without_a_page_pass_their_tests() -> None:
    files = sorted(str(path) for path in (Path(__file__).parent / "node").glob("*.test.mjs"))
    done = subprocess.run(["node", "--no-warnings", "--test", *files], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("model", MODELS)
def test_the_panels_of_latent_space_follow_the_keyboard(model: str, play: Play, page_url: str) -> None:
    play("latent", screens(url=page_url, model=model))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("model", MODELS)
def test_the_panels_of_latent_space_recover_from_a_failing_service(model: str, play: Play, page_url: str) -> None:
    play("latent_trouble", [{"url": page_url, "model": model, "width": 390, "scheme": "light", "allow": [FAILURE]}])


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_images_are_scored_and_refused_with_a_reason(play: Play, page_url: str) -> None:
    play("images", screens(url=page_url))


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("model", MODELS)
def test_the_health_of_the_model_is_shown(model: str, play: Play, page_url: str) -> None:
    play("health", screens(url=page_url, model=model))


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_pictures_of_the_docs_can_be_drawn(play: Play, page_url: str, tmp_path: Path) -> None:
    """VAEKIT_PAGE_PICTURES=docs/images writes them there."""
    play("latent_pictures", [{"url": page_url, "width": 1000, "scheme": "light", "folder": str(tmp_path)}])
    assert {path.name for path in tmp_path.glob("*.png")} == PICTURES
    if folder := os.environ.get("VAEKIT_PAGE_PICTURES"):
        for name in sorted(PICTURES):
            with Image.open(tmp_path / name) as picture:
                small = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
                small.save(Path(folder) / name, optimize=True)


def test_the_pictures_in_the_docs_are_small() -> None:
    sizes = {name: (ROOT / "docs" / "images" / name).stat().st_size for name in PICTURES}
    assert {name: size for name, size in sizes.items() if size > LARGEST} == {}
