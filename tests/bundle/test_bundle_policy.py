"""policy.json: what it may say, that it is written completely or not at all, and that every reader follows it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.versions import add_version
from vaekit import Model
from vaekit.bundle import find
from vaekit.bundle.policy import LATEST, Policy, read_policy, write_policy
from vaekit.errors import FormatError, StorageError, UnknownModel

NAME = "breast-cancer"


@pytest.fixture
def root(models_dir: Path, tmp_path: Path) -> Path:
    """A models folder with two versions of one model."""
    shutil.copytree(models_dir / NAME / "1", tmp_path / NAME / "1")
    add_version(tmp_path, 2)
    return tmp_path


def test_a_policy_is_read_as_it_was_written_and_latest_leaves_no_file(tmp_path: Path) -> None:
    assert read_policy(tmp_path) == LATEST
    for policy in (Policy(default=3), Policy(default="latest", loaded=(1, 2)), Policy(default=1, loaded=(4,))):
        write_policy(tmp_path, policy)
        assert read_policy(tmp_path) == policy
        assert [entry.name for entry in tmp_path.iterdir()] == ["policy.json"]
    for _ in range(2):
        write_policy(tmp_path, LATEST)
        assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "content"),
        ('{"default": 0}', "default"),
        ('{"default": "newest"}', "default"),
        ('{"pinned": 2}', "pinned"),
        ('{"loaded": [1, "a"]}', "loaded.1"),
    ],
)
def test_an_invalid_policy_is_refused_with_its_path_and_field(tmp_path: Path, text: str, where: str) -> None:
    (tmp_path / "policy.json").write_text(text)
    with pytest.raises(FormatError, match=rf"policy\.json: {where}.*vae models pin"):
        read_policy(tmp_path)


def test_a_failed_write_leaves_the_policy_before_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_policy(tmp_path, Policy(default=1))

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(StorageError, match=r"policy\.json: cannot be written: No space left.*VAE_PINS"):
        write_policy(tmp_path, Policy(default=2))
    monkeypatch.undo()
    assert read_policy(tmp_path) == Policy(default=1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["policy.json"]


def test_all_readers_use_the_pinned_version_unless_one_is_named(root: Path) -> None:
    assert find(root, NAME) == root / NAME / "2"
    write_policy(root / NAME, Policy(default=1))
    assert find(root, NAME) == root / NAME / "1"
    assert find(root, NAME, 2) == root / NAME / "2"
    with Model.load(root / NAME, device="cpu") as model:
        assert model.manifest.version == 1
    write_policy(root / NAME, Policy(default=3))
    with pytest.raises(
        UnknownModel, match="no version 3 of model 'breast-cancer', which it is pinned to; versions: 1, 2"
    ):
        find(root, NAME)
