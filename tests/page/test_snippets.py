"""The curl, Python and JavaScript of the panels run as they are, beside the files that they name, and print."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.conftest import ROOT
from tests.page import mixed_table
from tests.page.conftest import Play
from vaekit.runtime import Model

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

MODELS = ("breast-cancer", "digits", "machines")
WITHOUT_PANDAS = "import sys\nsys.modules['pandas'] = None\n"  # no extra of the package brings it
CLIENT = ROOT / "clients" / "javascript"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with two images and the JavaScript package; the rows are added for each model."""
    folder = tmp_path_factory.mktemp("snippets")
    for name in ("first.png", "second.png"):
        Image.new("L", (8, 8)).save(folder / name)
    (folder / "node_modules").mkdir()
    (folder / "node_modules" / "vaekit").symlink_to(CLIENT)
    return folder


def write_rows(folder: Path, model: str, models: Path) -> None:
    """Write rows.csv: normal rows of a table model."""
    if model == "machines":
        head, *lines = mixed_table.text(20).splitlines()
        (folder / "rows.csv").write_text("\n".join([head, *lines[4:], ""]), encoding="utf-8")  # without the spoilt rows
    elif model == "breast-cancer":
        with Model.load(models / model, device="cpu") as loaded:
            names = [column.name for column in loaded.manifest.input.columns]  # type: ignore[union-attr]
            rows = loaded.sample_rows(10, seed=0).samples.tolist()
        lines = [",".join(map(str, row)) for row in rows]
        (folder / "rows.csv").write_text("\n".join([",".join(names), *lines, ""]), encoding="utf-8")


def run_code(language: str, code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    if language == "javascript":
        (folder / "snippet.mjs").write_text(code, encoding="utf-8")
    command = {
        "curl": ["bash", "-c", f"{code} --fail"],
        "python": [sys.executable, "-c", f"{WITHOUT_PANDAS}{code}"],
        "javascript": ["node", "snippet.mjs"],
    }[language]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")
@pytest.mark.parametrize("model", MODELS)
def test_the_code_of_every_panel_runs(
    model: str, play: Play, page_url: str, folder: Path, models_of_the_page: Path
) -> None:
    write_rows(folder, model, models_of_the_page)
    case = {"url": page_url, "model": model, "width": 1280, "scheme": "light"}
    (panels,) = play("snippets", [case])
    failed: dict[str, Any] = {}
    for panel, codes in panels.items():
        assert codes.keys() == {"curl", "python", "javascript"}, panel
        for language, code in codes.items():
            done = run_code(language, code, folder)
            if done.returncode != 0 or not done.stdout.strip():
                failed[f"{panel}, {language}"] = (code, done.stdout[-300:], done.stderr[-600:])
    assert failed == {}, "\n\n".join(f"{name}\n{code}\n{out}\n{error}" for name, (code, out, error) in failed.items())
