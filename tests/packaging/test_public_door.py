"""What `vaekit` offers by name is pinned: a name that goes or comes is a decision, taken here."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import vaekit

ROOT = Path(__file__).parents[2]


def test_the_public_door_has_these_names_and_no_others() -> None:
    assert sorted(vaekit.__all__) == ["AsyncClient", "Client", "Detector", "Model", "__version__"]
    assert sorted(dir(vaekit)) == sorted(vaekit.__all__)


@pytest.mark.parametrize("name", ["AsyncClient", "Client", "Detector", "Model"])
def test_each_public_name_imports_from_the_door(name: str) -> None:
    code = f"from vaekit import {name}; print({name}.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.stdout.strip(), done.stderr) == (name, "")


def test_a_name_behind_no_door_is_refused_by_name() -> None:
    with pytest.raises(AttributeError, match="'vaekit' has no attribute 'Modle'"):
        vaekit.Modle  # noqa: B018  the look-up is what is tested


def test_the_changelog_knows_the_version() -> None:
    assert f"## [{vaekit.__version__}]" in (ROOT / "CHANGELOG.md").read_text()


def test_the_distribution_takes_its_version_from_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert project["tool"]["setuptools"]["dynamic"]["version"] == {"attr": "vaekit._version.__version__"}
    assert project["project"]["scripts"] == {"vae": "vaekit.cli:main"}
