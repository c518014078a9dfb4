"""The sdist and the wheel that `make dist` builds: their files, their metadata, and that one makes the other."""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from collections.abc import Iterator
from email import message_from_bytes
from email.message import Message
from pathlib import Path, PurePosixPath
from types import ModuleType

import pytest

from vaekit import __version__

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
FOLDERS = {
    "vaekit": "vaekit",
    "vaekit_service": "service/vaekit_service",
    "vaekit_training": "training/vaekit_training",
}
# Files of the packages that are not Python, by folder.
DATA = {
    "vaekit/bundle": {".json"},
    "vaekit/project/templates": {".md", ".toml", ".yml", ""},
    "vaekit_service/page/static": {".css", ".html", ".js", ".json", ".md", ".svg", ".txt", ".png", ""},
    "vaekit_training/templates": {".css", ".html", ".j2", ".js", ".svg"},
}
LICENCES = {"LICENSE", *(f"service/vaekit_service/page/static/vendor/{name}/LICENSE" for name in ("lit-html", "uplot"))}


def script() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dist_script", ROOT / ".ci" / "dist.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and the wheel, made with the address of a repository."""
    out = tmp_path_factory.mktemp("dist")
    environment = {**os.environ, "PROJECT_URL": "https://example.com/team/vaekit/"}
    command = [sys.executable, str(ROOT / ".ci" / "dist.py"), "--out", str(out)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.split() == [str(path) for path in sorted(out.iterdir())]
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Iterator[zipfile.ZipFile]:
    with zipfile.ZipFile(built / f"vaekit-{__version__}-py3-none-any.whl") as opened:
        yield opened


def metadata(wheel: zipfile.ZipFile) -> Message:
    return message_from_bytes(wheel.read(f"vaekit-{__version__}.dist-info/METADATA"))


def sources() -> set[str]:
    """The files of the three packages in the clone, as the wheel names them."""
    command = ["git", "ls-files", "-co", "--exclude-standard", *FOLDERS.values()]
    tracked = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout.split("\n")
    there = [name for name in tracked if name and (ROOT / name).is_file()]
    return {re.sub(r"^(service|training)/", "", name) for name in there}


@pytest.mark.slow
def test_the_wheel_has_every_file_of_the_packages_and_no_other(wheel: zipfile.ZipFile) -> None:
    info = f"vaekit-{__version__}.dist-info/"
    found = {name for name in wheel.namelist() if not name.startswith(info)}
    assert found == sources()
    assert {"vaekit/py.typed", "vaekit_service/page/static/index.html", "vaekit_training/templates/report.css"} <= found
    assert {name.removeprefix(f"{info}licenses/") for name in wheel.namelist() if "/licenses/" in name} == LICENCES


@pytest.mark.parametrize("name", sorted(name for name in sources() if not name.endswith(".py")))
def test_a_file_of_a_package_that_is_not_python_is_expected_there(name: str) -> None:
    path = PurePosixPath(name)
    expected = [kinds for folder, kinds in DATA.items() if path.is_relative_to(folder)]
    assert name == "vaekit/py.typed" or (expected and path.suffix in expected[0]), "list its folder and kind in DATA"


@pytest.mark.slow
def test_the_sdist_has_what_the_wheel_is_made_of_and_nothing_else(built: Path) -> None:
    top = f"vaekit-{__version__}/"
    with tarfile.open(built / f"vaekit-{__version__}.tar.gz") as opened:
        found = {member.name.removeprefix(top) for member in opened.getmembers() if member.isfile()}
    own = {name for name in found if not name.startswith("vaekit.egg-info/")}
    packed = {
        re.sub(r"^(service|training)/", "", name) for name in own if name.split("/")[0] in ("service", "training")
    }
    packed |= {name for name in own if name.startswith("vaekit/")}
    assert packed == sources()
    others = {name for name in own if "/" not in name}
    assert others == {"LICENSE", "PKG-INFO", "README.md", "pyproject.toml", "setup.cfg"}
    assert not [name for name in found if "test" in name.split("/")[0]]


@pytest.mark.slow
def test_a_wheel_built_from_the_clone_has_the_same_files_as_the_one_built_from_the_sdist(
    wheel: zipfile.ZipFile, tmp_path: Path
) -> None:
    copy = tmp_path / "vaekit"
    script().copy_files(copy)
    script().add_links(copy, "https://example.com/team/vaekit")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(copy)]
    subprocess.run(command, check=True, capture_output=True)
    with zipfile.ZipFile(tmp_path / f"vaekit-{__version__}-py3-none-any.whl") as direct:
        assert {name: direct.read(name) for name in direct.namelist()} == {
            name: wheel.read(name) for name in wheel.namelist()
        }


@pytest.mark.slow
def test_the_metadata_have_the_links_of_the_repository_and_no_relative_link(wheel: zipfile.ZipFile) -> None:
    found = metadata(wheel)
    blob = f"https://example.com/team/vaekit/blob/v{__version__}"
    assert found.get_all("Project-URL") == [
        "Source, https://example.com/team/vaekit",
        f"Documentation, {blob}/docs/index.md",
        f"Changelog, {blob}/CHANGELOG.md",
    ]
    assert (found["Version"], found["License-Expression"]) == (__version__, PROJECT["license"])
    assert found["Description-Content-Type"] == "text/markdown"
    text = str(found.get_payload())
    assert f"]({blob}/docs/index.md)" in text
    links = re.findall(r'\]\(([^)\s]+)|(?:src|srcset|href)="([^"]+)"', text)
    assert [link for pair in links for link in pair if link and not link.startswith(("https://", "http://", "#"))] == []


@pytest.mark.slow
def test_both_names_of_the_command_are_entry_points(wheel: zipfile.ZipFile) -> None:
    points = wheel.read(f"vaekit-{__version__}.dist-info/entry_points.txt").decode()
    assert points == "[console_scripts]\nvae = vaekit.cli:main\nvaekit = vaekit.cli:main\n"


def test_links_become_absolute_and_images_point_at_the_file_itself() -> None:
    text = (
        '[a](docs/a.md#b) [c](https://x.example) [d](#e) ![f](docs/f.png) <img src="g.svg"> <source srcset="./h.png">'
    )
    assert script().absolute_links(text, "B", "R") == (
        '[a](B/docs/a.md#b) [c](https://x.example) [d](#e) ![f](R/docs/f.png) <img src="R/g.svg"> '
        '<source srcset="R/h.png">'
    )


def test_the_licence_names_those_of_the_libraries_of_the_page() -> None:
    notes = (ROOT / "service/vaekit_service/page/static/vendor/README.md").read_text()
    of_libraries = set(re.findall(r"^\| [\w-]+ \| [\d.]+ \| ([\w.-]+) \|", notes, re.MULTILINE))
    assert of_libraries == {"BSD-3-Clause", "MIT"}
    assert set(PROJECT["license"].split(" AND ")) == {"Apache-2.0", *of_libraries}
