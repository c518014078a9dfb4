"""The checks before a release, and the page that lists the steps."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from types import ModuleType

import pytest

from tests.conftest import ROOT
from tests.packaging.test_version import script
from vaekit import __version__

PAGE = (ROOT / "docs" / "how-to" / "release.md").read_text()


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script, of a project in an empty folder."""
    module = script("release_check")
    monkeypatch.setattr(module, "ROOT", tmp_path)
    monkeypatch.setattr(module, "version", lambda: __version__)
    return module


@pytest.mark.parametrize(
    ("entry", "found"),
    [
        (f"## [{__version__}] - unreleased", f"'## [{__version__}] - unreleased'"),
        ("## [0.0.1] - 2020-01-01", "'no entry'"),
    ],
)
def test_a_version_without_a_date_is_not_released(check: ModuleType, tmp_path: Path, entry: str, found: str) -> None:
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n{entry}\n")
    with pytest.raises(check.Failed, match=re.escape(f"expected '## [{__version__}] - YYYY-MM-DD', found {found}")):
        check.changelog()


def test_the_date_of_a_version_is_found(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "CHANGELOG.md").write_text(f"# Changelog\n\n## [{__version__}] - 2027-01-31\n")
    assert check.changelog() == "2027-01-31"


def test_other_files_in_dist_are_refused(check: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "vaekit-0.0.1.tar.gz").touch()
    with pytest.raises(check.Failed, match=r"has vaekit-0\.0\.1\.tar\.gz, expected .*\.whl, .*\.tar\.gz: make dist"):
        check.built(tmp_path)


def test_the_address_of_the_repository_comes_from_a_variable(
    check: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PROJECT_URL", raising=False)
    with pytest.raises(check.Failed, match="set PROJECT_URL"):
        check.links()
    monkeypatch.setenv("PROJECT_URL", "https://example.com/vaekit")
    assert check.links() == "https://example.com/vaekit"


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("npm") is None, reason="needs npm")
def test_the_npm_package_has_the_version_and_no_stray_file(check: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check, "ROOT", ROOT)
    assert re.fullmatch(rf"vaekit-{re.escape(__version__)}\.tgz, \d+ files, \d+ kB", check.npm())


def test_no_set_of_extras_has_both_packages_of_onnx_runtime(check: ModuleType) -> None:
    assert not [extras for extras in check.SETS if {"cpu", "gpu"} <= set(extras.split(","))]


def test_the_page_names_targets_and_scripts_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    assert all(f"\n{target}: " in makefile for target in re.findall(r"\bmake ([a-z-]+)", PAGE))
    assert all((ROOT / path).is_file() for path in re.findall(r"(?:python|bash) (\S+\.(?:py|sh))", PAGE))


def test_the_page_takes_every_address_from_a_variable() -> None:
    assert re.findall(r"https?://\S+", PAGE) == []
    assert {"PROJECT_URL", "UPLOAD_URL", "REGISTRY", "NPM_URL"} <= set(re.findall(r"\b[A-Z_]{6,}\b", PAGE))
