"""The import names of the wheel do not clash with modules in the user's working directory."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "vaekit": ROOT / "vaekit",
    "vaekit_service": ROOT / "service" / "vaekit_service",
    "vaekit_training": ROOT / "training" / "vaekit_training",
}
STRANGERS = ("training", "service", "models", "benchmarks")
QUICK = ["training.steps=20", "network.hidden=[8]", "network.latent_dim=2"]
DETECT = """
import numpy as np
from vaekit import Detector, Model
with Model.load("out/rows/1", device="cpu") as model:
    print(Detector.of(model).score_samples(np.load("rows.npy")).shape)
"""
SERVE = """
import vaekit_service.server
from vaekit_service.app import create_app
from vaekit_service.settings import load
print(create_app(load()).title)
"""

pytestmark = pytest.mark.timeout(300)  # training runs in another process


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A user's working directory with rows, and with modules of the user that fail if they are imported."""
    made = tmp_path_factory.mktemp("strangers")
    for name in STRANGERS:
        (made / f"{name}.py").write_text(f"raise RuntimeError('the stranger {name} was imported')\n")
    np.save(made / "rows.npy", np.random.default_rng(0).standard_normal((200, 3)))
    return made


def python(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python in a folder, which is then first in sys.path."""
    without = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONSAFEPATH", "VAE_"))}
    return subprocess.run([sys.executable, *arguments], cwd=folder, env=without, capture_output=True, text=True)


@pytest.fixture(scope="module")
def trained(folder: Path) -> Path:
    """The folder after `vae train` has run in it."""
    settings = [part for setting in QUICK for part in ("--set", setting)]
    done = python(folder, "-m", "vaekit", "train", "rows.npy", *settings, "--device", "cpu", "--models", "out")
    assert (done.returncode, done.stdout.split()) == (0, ["out/rows/1"]), done.stderr
    return folder


@pytest.mark.parametrize("name", STRANGERS)
def test_python_finds_the_users_module_first(name: str, folder: Path) -> None:
    done = python(folder, "-c", f"import {name}")
    assert f"RuntimeError: the stranger {name} was imported" in done.stderr


@pytest.mark.parametrize("command", ["", "train", "serve", "score", "calibrate", "evaluate", "explain", "explain-loss"])
def test_help_works_beside_modules_of_the_user(command: str, folder: Path) -> None:
    done = python(folder, "-m", "vaekit", *command.split(), "--help")
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.slow
def test_training_and_scoring_work_beside_modules_of_the_user(trained: Path) -> None:
    done = python(trained, "-m", "vaekit", "score", "out/rows/1", "rows.npy", "scored.csv", "--device", "cpu")
    assert done.returncode == 0, done.stderr
    assert len((trained / "scored.csv").read_text().splitlines()) == 201


@pytest.mark.parametrize(("code", "said"), [(DETECT, "(200,)"), (SERVE, "vaekit")], ids=["detector", "service"])
def test_the_library_works_beside_modules_of_the_user(code: str, said: str, trained: Path) -> None:
    done = python(trained, "-c", code)
    assert (done.returncode, done.stdout.strip()) == (0, said), done.stderr


def test_the_files_of_a_run_name_no_module_of_the_trainer(trained: Path) -> None:
    written = [path for place in ("runs", "out") for path in (trained / place).rglob("*") if path.is_file()]
    assert {"checkpoint.pt", "config.toml", "elbo.onnx", "manifest.json"} <= {path.name for path in written}
    assert [path for path in written if b"vaekit_training" in path.read_bytes()] == []


def imported(source: str) -> set[str]:
    """Top-level names that a module imports, at its top or inside functions."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module)
    return {name.partition(".")[0] for name in found}


@pytest.mark.parametrize("package", PACKAGES)
def test_no_module_imports_a_folder_of_the_repository_by_name(package: str) -> None:
    folders = {path.name for path in ROOT.iterdir() if path.is_dir()} - {"vaekit"}
    assert set(STRANGERS) <= folders
    found = {path: imported(path.read_text()) & folders for path in PACKAGES[package].rglob("*.py")}
    assert {path: names for path, names in found.items() if names} == {}


def test_the_wheel_holds_the_files_of_three_packages_and_nothing_else(tmp_path: Path) -> None:
    clone = tmp_path / "clone"
    ignore = shutil.ignore_patterns("__pycache__", "*.egg-info")
    for name in ("vaekit", "service", "training"):
        shutil.copytree(ROOT / name, clone / name, ignore=ignore)
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, clone)
    command = ["-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--wheel-dir", str(tmp_path), "."]
    done = python(clone, *command)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    expected = {
        f"{package}/{path.relative_to(place).as_posix()}"
        for package, place in PACKAGES.items()
        for path in place.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert held == expected
    assert {name.partition("/")[0] for name in held} == {"vaekit", "vaekit_service", "vaekit_training"}
