"""The names that `vaekit` exports are pinned: to add or remove one, change the list in this file."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vaekit

ROOT = Path(__file__).parents[2]


def test_vaekit_exports_exactly_these_names() -> None:
    assert sorted(vaekit.__all__) == ["AsyncClient", "Client", "Detector", "Model", "__version__"]
    assert sorted(dir(vaekit)) == sorted(vaekit.__all__)


@pytest.mark.parametrize("name", ["AsyncClient", "Client", "Detector", "Model"])
def test_each_exported_name_can_be_imported_from_vaekit(name: str) -> None:
    code = f"from vaekit import {name}; print({name}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (name, "")


def test_an_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="'vaekit' has no attribute 'Modle'"):
        vaekit.Modle  # noqa: B018  the attribute access is tested


def test_the_changelog_has_an_entry_for_the_version() -> None:
    assert f"## [{vaekit.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_distribution_has_the_version_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "vaekit._version.__version__"}
    assert project["project"]["scripts"] == dict.fromkeys(("vae", "vaekit"), "vaekit.cli:main")
