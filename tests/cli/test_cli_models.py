"""`vae models`: what it lists, verifies, pins and removes, as text and as JSON."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from tests.bundle.test_proposals import propose
from tests.versions import add_version
from vaekit.bundle import find, models, versions
from vaekit.bundle.policy import Policy, read_policy
from vaekit.bundle.proposal import is_proposed
from vaekit.cli import app
from vaekit.errors import FormatError, InputError, StorageError, UnknownModel

NAME = "breast-cancer"


@pytest.fixture
def root(models_dir: Path, tmp_path: Path) -> Path:
    """A models folder with two versions of one model, and another model."""
    shutil.copytree(models_dir / "digits/1", tmp_path / "digits/1")
    shutil.copytree(models_dir / NAME / "1", tmp_path / NAME / "1")
    add_version(tmp_path, 2)
    return tmp_path


def vae(root: Path, *words: str) -> Result:
    return CliRunner().invoke(app, ["models", *words, "--models", str(root)])


def parsed(root: Path, *words: str) -> Any:
    return json.loads(vae(root, *words, "--json").stdout)


def flip(folder: Path) -> None:
    graph = folder / "elbo.onnx"
    data = bytearray(graph.read_bytes())
    data[len(data) // 2] ^= 1
    graph.write_bytes(data)


def test_list_shows_versions_sizes_and_which_one_is_used(root: Path) -> None:
    cancer, digits = parsed(root, "list")["models"]
    assert (cancer["name"], cancer["version"], cancer["pinned"]) == (NAME, 2, None)
    assert [version["version"] for version in cancer["versions"]] == [1, 2]
    size = sum(path.stat().st_size for path in (root / NAME / "1").rglob("*") if path.is_file())
    assert cancer["versions"][0]["bytes"] == size
    assert digits["versions"][0]["format"] == "1.2"
    assert "latest" in vae(root, "list").stdout
    assert [model["name"] for model in parsed(root, "list", "digits")["models"]] == ["digits"]
    vae(root, "pin", f"{NAME}@1")
    assert "pinned" in vae(root, "list").stdout


def test_list_shows_what_cannot_be_read(root: Path) -> None:
    (root / NAME / "2/manifest.json").write_bytes(b"{")
    (root / "digits/policy.json").write_text("latest")
    cancer, digits = parsed(root, "list")["models"]
    assert "manifest.json" in cancer["versions"][1]["reason"]
    assert "policy.json: content" in digits["reason"]
    for reason in ("manifest.json: ", "policy.json: content"):
        assert reason in vae(root, "list").stdout


def test_verify_exits_with_1_if_a_version_fails_and_says_why(root: Path) -> None:
    assert vae(root, "verify").stdout == f"{NAME}@1: ok\n{NAME}@2: ok\ndigits@1: ok\n"
    flip(root / NAME / "2")
    done = vae(root, "verify", NAME)
    assert (done.exit_code, done.stdout.splitlines()[0]) == (1, f"{NAME}@1: ok")
    assert "2/elbo.onnx: sha256" in done.stdout
    found = vae(root, "verify", "--json")
    assert [one["ok"] for one in json.loads(found.stdout)["versions"]] == [True, False, True]
    assert (found.exit_code, vae(root, "verify", f"{NAME}@1").exit_code) == (1, 0)
    shutil.copy(root / NAME / "1/manifest.json", root / "digits/1/manifest.json")
    assert vae(root, "verify", "digits").exit_code == 1


def test_pin_and_unpin_choose_the_version_that_is_used(root: Path) -> None:
    done = vae(root, "pin", f"{NAME}@1", "--also", "2")
    assert done.stdout == f"{NAME} means {NAME}@1, pinned; in memory besides: 2\n"
    assert read_policy(root / NAME) == Policy(default=1, loaded=(2,))
    assert find(root, NAME).name == "1"
    assert parsed(root, "pin", NAME, "--also", "1")["loaded"] == [1]
    assert find(root, NAME).name == "2"
    for _ in range(2):
        assert vae(root, "unpin", NAME).stdout == f"{NAME} means {NAME}@2, the latest\n"
    assert not (root / NAME / "policy.json").exists()


@pytest.mark.parametrize(
    "words", [("pin", f"{NAME}@3"), ("pin", NAME, "--also", "3"), ("pin", "nobody@1"), ("unpin", "nobody"),
              ("remove", f"{NAME}@3"), ("list", "nobody"), ("verify", "nobody"), ("verify", f"{NAME}@3")]
)  # fmt: skip
def test_a_model_or_version_that_is_not_there_is_refused_and_nothing_changes(root: Path, words: tuple[str]) -> None:
    done = vae(root, *words)
    assert isinstance(done.exception, UnknownModel)
    assert not (root / NAME / "policy.json").exists()
    assert versions(root, NAME) == [1, 2]


def test_remove_deletes_one_version_or_the_whole_model(root: Path) -> None:
    assert vae(root, "remove", f"{NAME}@2").stdout == f"removed {NAME}@2\n"
    assert [entry.name for entry in (root / NAME).iterdir()] == ["1"]
    assert parsed(root, "remove", NAME, "--all-versions") == {"name": NAME, "removed": [1], "versions": []}
    assert models(root) == ["digits"]
    assert [entry.name for entry in root.iterdir()] == ["digits"]


def test_remove_refuses_a_pinned_version_and_a_model_without_version(root: Path) -> None:
    vae(root, "pin", f"{NAME}@1", "--also", "2")
    for words in ((f"{NAME}@1",), (f"{NAME}@2",), (NAME,), (f"{NAME}@1", "--all-versions")):
        assert isinstance(vae(root, "remove", *words).exception, InputError)
    assert versions(root, NAME) == [1, 2]


def test_a_removal_that_was_interrupted_leaves_nothing_listed_and_can_be_repeated(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(path: Path) -> None:  # noqa: ARG001 - the place of shutil.rmtree
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("shutil.rmtree", fail)
    assert isinstance(vae(root, "remove", f"{NAME}@2").exception, StorageError)
    monkeypatch.undo()
    assert versions(root, NAME) == [1]
    shutil.copytree(root / NAME / "1", root / NAME / "2")
    assert vae(root, "remove", f"{NAME}@2").exit_code == 0
    assert [entry.name for entry in (root / NAME).iterdir()] == ["1"]


def test_a_proposed_version_is_listed_as_such_and_accepted_once(root: Path) -> None:
    folder = propose(root, 3)
    cancer = parsed(root, "list", NAME)["models"][0]
    assert (cancer["version"], [one["proposed"] for one in cancer["versions"]]) == (2, [False, False, True])
    assert "proposed" in vae(root, "list", NAME).stdout
    done = vae(root, "accept", f"{NAME}@3", "--dry-run")
    assert "10 calibration rows before, 20 after" in done.stdout
    assert ["0.05", "1", "2", "3", "0.15", "0.01 .. 0.2"] in [
        [cell.strip() for cell in line.split("│")[1:-1]] for line in done.stdout.splitlines()
    ]
    assert "warning: of the choice" in done.stderr
    assert is_proposed(folder)
    told = parsed(root, "accept", f"{NAME}@3")
    assert (told["model"], told["accepted"], told["parent"]) == (f"{NAME}@3", True, f"{NAME}@1")
    assert parsed(root, "list", NAME)["models"][0]["version"] == 3
    assert isinstance(vae(root, "accept", f"{NAME}@3").exception, FormatError)


def test_accept_needs_a_version_and_pin_refuses_a_proposed_one(root: Path) -> None:
    propose(root, 3)
    assert "name the version to accept" in str(vae(root, "accept", NAME).exception)
    assert f"first run vae models accept {NAME}@3" in str(vae(root, "pin", f"{NAME}@3").exception)
    assert read_policy(root / NAME) == Policy()


def test_a_proposed_version_is_rejected_by_removing_it(root: Path) -> None:
    propose(root, 3)
    vae(root, "remove", f"{NAME}@3")
    assert versions(root, NAME) == [1, 2]


def test_accepting_an_older_version_says_that_a_newer_one_is_used(root: Path) -> None:
    propose(root, 3)
    add_version(root, 4)
    assert f"{NAME} still means {NAME}@4" in vae(root, "accept", f"{NAME}@3").stdout
