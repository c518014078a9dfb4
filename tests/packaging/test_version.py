"""The version is written in vaekit/_version.py; every file that repeats it agrees."""

from __future__ import annotations

import importlib.util
import json
import re
import shutil
import subprocess
import tomllib
from importlib import metadata
from pathlib import Path
from types import ModuleType

import pytest
import yaml

from vaekit import __version__

ROOT = Path(__file__).parents[2]


def script(name: str) -> ModuleType:
    """A script of .ci as a module."""
    spec = importlib.util.spec_from_file_location(f"ci_{name}", ROOT / ".ci" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


VERSION = script("version")


def test_the_installed_distribution_has_the_version() -> None:
    assert metadata.version("vaekit") == __version__


def test_the_openapi_document_has_the_version() -> None:
    document = json.loads((ROOT / "tests" / "service" / "openapi.json").read_text())
    assert document["info"]["version"] == __version__


def test_the_javascript_package_has_the_version() -> None:
    folder = ROOT / "clients" / "javascript"
    lock = json.loads((folder / "package-lock.json").read_text())
    assert json.loads((folder / "package.json").read_text())["version"] == __version__
    assert (lock["version"], lock["packages"][""]["version"]) == (__version__, __version__)


def test_the_labels_of_the_images_have_the_version_and_the_licence() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.findall(r"org\.opencontainers\.image\.version=(\S+)", dockerfile) == [__version__]
    (licences,) = re.findall(r'org\.opencontainers\.image\.licenses="(.+)"', dockerfile)
    assert licences == tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["license"]


@pytest.mark.parametrize("kind", ["cpu", "gpu"])
def test_the_kubernetes_manifests_name_the_image_of_the_version(kind: str) -> None:
    kustomization = yaml.safe_load((ROOT / "deploy" / "kubernetes" / kind / "kustomization.yaml").read_text())
    assert {image["newTag"] for image in kustomization["images"]} == {__version__}


def test_a_new_version_is_written_into_every_file(tmp_path: Path) -> None:
    for name in VERSION.REPEATED:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(ROOT / name, tmp_path / name)
    VERSION.replace("7.8.9rc1", tmp_path)
    assert VERSION.version(tmp_path) == "7.8.9rc1"
    for name, times in VERSION.REPEATED.items():
        text = (tmp_path / name).read_text()
        assert (text.count("7.8.9rc1"), len(VERSION.pattern(__version__).findall(text))) == (times, 0), name


@pytest.mark.parametrize("wrong", ["v1.0.0", "1.0", "1.0.0-beta"])
def test_what_is_no_version_is_refused(wrong: str) -> None:
    with pytest.raises(SystemExit, match="expected a version such as"):
        VERSION.replace(wrong)
    assert VERSION.version() == __version__


def test_every_file_with_the_version_is_listed() -> None:
    found = {}
    for name in files():
        text = (ROOT / name).read_text(encoding="utf-8", errors="replace")
        found[name] = len(VERSION.pattern(__version__).findall(text))
    assert {name: count for name, count in found.items() if count} == VERSION.REPEATED


def files() -> list[str]:
    """The files of the clone, without tests (the OpenAPI document is one that counts) and pins of other packages."""
    command = ["git", "ls-files", "-co", "--exclude-standard"]
    names = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    left_out = ("tests/", "models/", "docs/decisions/", "docs/reference/benchmarks/", "CHANGELOG.md", "constraints")
    kept = [name for name in names if name == "tests/service/openapi.json" or not name.startswith(left_out)]
    return [name for name in kept if not name.endswith((".png", ".onnx", ".npy", ".npz")) and (ROOT / name).is_file()]
