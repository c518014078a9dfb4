"""`vae calibrate` refuses the rows that the model was trained on."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from vaekit.cli import app

CREATED = 1_000_000_000.0  # when the bundle says that it was made, seconds since the epoch


@pytest.fixture
def trained(copied: Path, benign_rows: Any, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that holds `models`, with a bundle that names parts/rows.npy as its training data."""
    root = copied.parent
    monkeypatch.chdir(root)
    (root / "parts").mkdir()
    np.save(root / "parts" / "rows.npy", benign_rows)
    np.save(root / "new.npy", benign_rows)
    os.utime(root / "parts" / "rows.npy", (CREATED - 60, CREATED - 60))
    path = copied / "breast-cancer" / "1" / "manifest.json"
    manifest = json.loads(path.read_text(encoding="utf-8"))
    manifest["provenance"]["data"] = "parts/rows.npy"
    path.write_text(json.dumps({**manifest, "created": "2001-09-09T01:46:40Z"}), encoding="utf-8")
    return root


def calibrate(data: str | Path, models: Path, name: str = "breast-cancer") -> Any:
    return CliRunner().invoke(app, ["calibrate", name, str(data), "--models", str(models), "--device", "cpu"])


@pytest.mark.usefixtures("trained")
def test_the_training_data_are_refused_and_nothing_is_published(copied: Path) -> None:
    done = calibrate("parts/rows.npy", copied)
    assert done.exit_code == 1
    said = "parts/rows.npy: is the data that breast-cancer@1 was trained on (parts/rows.npy)"
    assert said in str(done.exception)
    assert "give normal rows that it has not seen" in str(done.exception)
    assert not (copied / "breast-cancer" / "2").exists()


def test_a_link_to_the_training_data_and_a_later_version_are_refused_too(trained: Path, copied: Path) -> None:
    (trained / "link.npy").symlink_to(trained / "parts" / "rows.npy")
    assert "was trained on" in str(calibrate("link.npy", copied).exception)
    assert calibrate("new.npy", copied).exit_code == 0
    done = calibrate("parts/rows.npy", copied, "breast-cancer@2")
    assert "breast-cancer@1 was trained on" in str(done.exception)


@pytest.mark.usefixtures("trained")
@pytest.mark.parametrize("trained_on", ["parts", "."], ids=["its folder", "the folder around it"])
def test_a_part_of_a_folder_that_was_trained_on_is_refused(copied: Path, trained_on: str) -> None:
    path = copied / "breast-cancer" / "1" / "manifest.json"
    path.write_text(path.read_text(encoding="utf-8").replace("parts/rows.npy", trained_on), encoding="utf-8")
    assert "shares files with the data" in str(calibrate("parts/rows.npy", copied).exception)


def test_a_file_that_was_written_after_the_training_is_accepted(trained: Path, copied: Path) -> None:
    os.utime(trained / "parts" / "rows.npy", (CREATED + 60, CREATED + 60))
    assert calibrate("parts/rows.npy", copied).exit_code == 0
