"""The local copy of a folder of models in a store: what is fetched, kept and removed."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.versions import add_version
from vaekit.bundle.origin import read_origin
from vaekit.bundle.policy import Policy, write_policy
from vaekit.bundle.proposal import ACCEPTED_FILE, PROPOSAL_FILE
from vaekit.errors import StorageError, StoreError
from vaekit.storage import mirror as mirroring
from vaekit.storage.mirror import Mirror


@pytest.fixture
def models(tmp_path: Path, models_dir: Path) -> Path:
    """A folder of models that stands for a store."""
    shutil.copytree(models_dir / "breast-cancer", tmp_path / "models" / "breast-cancer")
    return tmp_path / "models"


def mirror_of(folder: Path, tmp_path: Path, keep: int = 2, **pins: Policy) -> Mirror:
    return Mirror(f"file://{folder}", tmp_path / "cache", keep=keep, pins=pins)


def listed(mirror: Mirror) -> set[str]:
    """The paths of the bundles in the copy."""
    return {path.parent.relative_to(mirror.folder).as_posix() for path in mirror.folder.rglob("manifest.json")}


def test_each_layout_gets_the_layout_of_a_models_folder_or_of_a_model(models: Path, tmp_path: Path) -> None:
    for folder, paths in (
        (models, {"breast-cancer/1"}),
        (models / "breast-cancer", {"1"}),
        (models / "breast-cancer" / "1", {"1"}),
    ):
        mirror = mirror_of(folder, tmp_path)
        mirror.refresh()
        assert listed(mirror) == paths
        origin = read_origin(mirror.folder / next(iter(paths)))
        assert origin is not None
        assert origin.url == str(models / "breast-cancer" / "1")


def test_nothing_is_fetched_twice(models: Path, tmp_path: Path) -> None:
    mirror = mirror_of(models, tmp_path)
    mirror.refresh()
    copy = mirror.folder / "breast-cancer" / "1"
    before = copy.stat().st_ino
    for again in (mirror, mirror_of(models, tmp_path)):  # and not by another process either
        again.refresh()
        assert copy.stat().st_ino == before


def test_the_newest_versions_and_those_of_policies_are_kept(models: Path, tmp_path: Path) -> None:
    for number in (2, 3, 4, 5):
        add_version(models, number)
    mirror = mirror_of(models, tmp_path)
    mirror.refresh()
    assert listed(mirror) == {"breast-cancer/4", "breast-cancer/5"}
    write_policy(models / "breast-cancer", Policy(default=1, loaded=(3,)))
    mirror.refresh()
    assert listed(mirror) == {f"breast-cancer/{number}" for number in (1, 3, 4, 5)}
    (models / "breast-cancer" / "policy.json").unlink()
    pinned = mirror_of(models, tmp_path, **{"breast-cancer": Policy(default=2)})
    pinned.refresh()
    assert listed(pinned) == {f"breast-cancer/{number}" for number in (2, 4, 5)}
    assert not (pinned.folder / "breast-cancer" / "policy.json").exists()


def test_the_latest_version_is_kept_if_newer_ones_are_proposed(models: Path, tmp_path: Path) -> None:
    for number in (2, 3, 4):
        (add_version(models, number) / PROPOSAL_FILE).write_text("{}")
    mirror = mirror_of(models, tmp_path)
    mirror.refresh()
    assert listed(mirror) == {f"breast-cancer/{number}" for number in (1, 3, 4)}
    (models / "breast-cancer" / "4" / PROPOSAL_FILE).rename(models / "breast-cancer" / "4" / ACCEPTED_FILE)
    mirror.refresh()
    assert listed(mirror) == {f"breast-cancer/{number}" for number in (3, 4)}
    assert not (mirror.folder / "breast-cancer" / "4" / PROPOSAL_FILE).exists()


def test_what_is_removed_from_the_store_is_removed_from_the_copy(
    models: Path, models_dir: Path, tmp_path: Path
) -> None:
    shutil.copytree(models_dir / "digits", models / "digits")
    add_version(models, 2)
    mirror = mirror_of(models, tmp_path)
    mirror.refresh()
    shutil.rmtree(models / "digits")
    shutil.rmtree(models / "breast-cancer" / "2")
    mirror.refresh()
    assert listed(mirror) == {"breast-cancer/1"}
    assert [path.name for path in mirror.folder.iterdir() if path.name.startswith(".")] == [".stamps.json"]


def test_what_a_killed_process_left_is_removed_after_an_hour(models: Path, tmp_path: Path) -> None:
    mirror = mirror_of(models, tmp_path)
    old, new = mirror.folder / ".pulling-old", mirror.folder / ".pulling-new"
    for path in (old, new):
        path.mkdir()
    os.utime(old, (0, 0))
    mirror.refresh()
    assert (old.exists(), new.exists()) == (False, True)


def test_a_store_that_is_empty_or_away_takes_nothing_away(models: Path, tmp_path: Path) -> None:
    mirror = mirror_of(models, tmp_path)
    mirror.refresh()
    models.rename(tmp_path / "away")
    for _ in range(2):
        with pytest.raises(StoreError, match="models: no bundle there"):
            mirror.refresh()
        assert listed(mirror) == {"breast-cancer/1"}


def test_a_file_that_cannot_be_fetched_stops_neither_the_other_models_nor_the_version_before(
    models: Path, models_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = mirror_of(models, tmp_path)
    mirror.refresh()
    shutil.copytree(models_dir / "digits", models / "digits")
    add_version(models, 2)
    fetch = type(mirror._remote).fetch

    def break_down(self: object, name: str, to: Path) -> None:
        if name == "breast-cancer/2/noise.npy":
            raise StoreError("broken")
        fetch(self, name, to)  # type: ignore[arg-type]  # of a remote folder

    monkeypatch.setattr(type(mirror._remote), "fetch", break_down)
    with pytest.raises(StoreError, match="broken"):
        mirror.refresh()
    assert listed(mirror) == {"breast-cancer/1", "digits/1"}
    monkeypatch.undo()
    mirror.refresh()
    assert listed(mirror) == {"breast-cancer/1", "breast-cancer/2", "digits/1"}


def test_an_invalid_bundle_gets_its_place_and_is_fetched_again_after_a_pause(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_version(models, 2)
    graph = models / "breast-cancer" / "2" / "elbo.onnx"
    good, time = graph.read_bytes(), graph.stat().st_mtime_ns
    mirror = mirror_of(models, tmp_path)
    moment = 1000.0
    monkeypatch.setattr(mirroring, "monotonic", lambda: moment)
    graph.write_bytes(good[:-1] + b"\0")  # as if it had been damaged on its way: the store does not change later
    mirror.refresh()
    copy = mirror.folder / "breast-cancer" / "2"
    first = copy.stat().st_ino
    mirror.refresh()
    assert copy.stat().st_ino == first
    moment += 31
    mirror.refresh()
    second = copy.stat().st_ino
    assert second != first
    moment += 31  # the second pause is longer
    mirror.refresh()
    assert copy.stat().st_ino == second
    graph.write_bytes(good)
    mirror.refresh()
    assert (copy / "elbo.onnx").read_bytes() == good
    assert time


def test_a_bundle_that_is_replaced_under_its_number_is_replaced_in_the_copy(models: Path, tmp_path: Path) -> None:
    mirror = mirror_of(models / "breast-cancer" / "1", tmp_path)
    mirror.refresh()
    path = models / "breast-cancer" / "1" / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "version": 7}))
    mirror.refresh()
    assert listed(mirror) == {"7"}


def test_a_cache_that_cannot_be_written_is_an_error(models: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("")
    with pytest.raises(StorageError, match="cache"):
        mirror_of(models, tmp_path)
