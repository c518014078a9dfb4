"""Bundles to and from stores: an S3 stand-in, an fsspec file system, local folders."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from tests.kinds import Published
from tests.stores import Store, storing
from tests.versions import add_version
from vaekit.bundle.origin import read_origin
from vaekit.bundle.proposal import PROPOSAL_FILE, accept
from vaekit.bundle.read import read_manifest
from vaekit.errors import BundleError, InputError, IntegrityError, StorageError, StoreError, UnknownModel, VaeError
from vaekit.storage import pull as pulling
from vaekit.storage.pull import place, pull
from vaekit.storage.push import push
from vaekit.storage.transfer import digest_of
from vaekit.storage.versions import bundles


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    with storing(tmp_path / "store") as running:
        for name, value in running.environment.items():
            monkeypatch.setenv(name, value)
        yield running


@pytest.fixture
def models(tmp_path: Path, models_dir: Path) -> Path:
    shutil.copytree(models_dir / "breast-cancer", tmp_path / "models" / "breast-cancer")
    return tmp_path / "models"


@pytest.fixture
def bundle(models: Path) -> Path:
    return models / "breast-cancer" / "1"


@pytest.fixture(params=["s3", "memory", "file"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of a folder of models on each kind of file system."""
    if request.param == "s3":
        request.getfixturevalue("store")
        return "s3://bucket/models"
    if request.param == "memory":
        fsspec.filesystem("memory").store.clear()
        return "memory://bucket/models"
    return f"file://{tmp_path}/shared"


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_comes_back_with_the_same_files(url: str, bundle: Path, tmp_path: Path) -> None:
    pushed = push(bundle, url)
    assert (pushed.is_new, pushed.sha256, pushed.url) == (True, digest_of(bundle), f"{url}/breast-cancer/1")
    for where in (f"{url}/breast-cancer", f"{url}/breast-cancer/1"):
        pulled = pull(where, tmp_path / "pulled", sha256=pushed.sha256)
        here = files(pulled.folder)
        origin = read_origin(pulled.folder)
        assert origin is not None
        assert origin.url.endswith("/breast-cancer/1")
        assert origin.sha256 == pushed.sha256
        here.pop("origin.json")
        assert here == files(bundle)
        assert read_manifest(pulled.folder).provenance == read_manifest(bundle).provenance
    assert pulled.folder == tmp_path / "pulled" / "breast-cancer" / "1"


def test_the_same_version_again_is_neither_sent_nor_copied(url: str, bundle: Path, tmp_path: Path) -> None:
    assert [push(bundle, url).is_new for _ in range(2)] == [True, False]
    first, second = (pull(f"{url}/breast-cancer", tmp_path / "pulled") for _ in range(2))
    assert (first.is_new, second.is_new) == (True, False)


def test_another_bundle_of_the_same_version_is_refused_in_both_directions(
    url: str, bundle: Path, models: Path, tmp_path: Path
) -> None:
    push(bundle, url)
    pull(f"{url}/breast-cancer", tmp_path / "pulled")
    other = tmp_path / "other"
    shutil.copytree(models, other)
    manifest = other / "breast-cancer" / "1" / "manifest.json"
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "created": "2020-01-01T00:00:00Z"}))
    with pytest.raises(InputError, match=r"another bundle is breast-cancer@1 there"):
        push(manifest.parent, url)
    push(manifest.parent, f"{url}-2")
    before = files(tmp_path / "pulled")
    with pytest.raises(InputError, match=r"another bundle is breast-cancer@1 here; remove it with"):
        pull(f"{url}-2/breast-cancer", tmp_path / "pulled")
    assert files(tmp_path / "pulled") == before
    assert [path.name for path in (tmp_path / "pulled").iterdir()] == ["breast-cancer"]


def test_the_latest_version_is_pulled_unless_one_is_named(url: str, bundle: Path, models: Path, tmp_path: Path) -> None:
    add_version(models, 2)
    proposed = add_version(models, 3)
    (proposed / PROPOSAL_FILE).write_text("{}")
    for number in (1, 2, 3):
        push(models / "breast-cancer" / str(number), url)
    latest, named = (
        pull(f"{url}/breast-cancer", tmp_path / "a"),
        pull(f"{url}/breast-cancer", tmp_path / "b", version=1),
    )
    assert (latest.manifest.version, named.manifest.version) == (2, 1)
    third = pull(f"{url}/breast-cancer", tmp_path / "a", version=3)
    assert (third.folder / PROPOSAL_FILE).exists()
    with pytest.raises(UnknownModel, match="no version 7; versions there: 1, 2, 3"):
        pull(f"{url}/breast-cancer", tmp_path / "a", version=7)
    assert bundle.exists()


def test_what_is_not_a_bundle_is_refused(url: str, bundle: Path, tmp_path: Path) -> None:
    push(bundle, url)
    with pytest.raises(UnknownModel, match="is a folder of models; name one: breast-cancer"):
        pull(url, tmp_path / "pulled")
    with pytest.raises(UnknownModel, match="no bundle there"):
        pull(f"{url}/nothing", tmp_path / "pulled")
    with pytest.raises(UnknownModel, match="has no versions to choose from"):
        pull(f"{url}/breast-cancer/1", tmp_path / "pulled", version=1)
    with pytest.raises(IntegrityError, match="the bundle there is another one: its sha256 is"):
        pull(f"{url}/breast-cancer", tmp_path / "pulled", sha256="0" * 64)
    assert not (tmp_path / "pulled").exists() or [*(tmp_path / "pulled").iterdir()] == []


@pytest.mark.parametrize("name", ["encoder.onnx", "noise.npy", "calibration.npz", "manifest.json"])
@pytest.mark.parametrize(
    "change", [lambda data: data[:-2], lambda data: data + b"\0", None], ids=["cut", "longer", "gone"]
)
def test_a_changed_file_is_found_on_arrival_and_leaves_nothing(
    bundle: Path, tmp_path: Path, name: str, change: Callable[[bytes], bytes] | None
) -> None:
    push(bundle, str(tmp_path / "shared"))
    file = tmp_path / "shared" / "breast-cancer" / "1" / name
    if change is None:
        file.unlink()
    else:
        file.write_bytes(change(file.read_bytes()))
    with pytest.raises((BundleError, UnknownModel)):
        pull(str(tmp_path / "shared" / "breast-cancer"), tmp_path / "pulled")
    assert not (tmp_path / "pulled").exists() or [*(tmp_path / "pulled").iterdir()] == []


def test_a_bundle_that_was_changed_is_not_pushed(bundle: Path, tmp_path: Path) -> None:
    (bundle / "encoder.onnx").write_bytes(b"")
    with pytest.raises(IntegrityError):
        push(bundle, str(tmp_path / "shared"))
    assert not (tmp_path / "shared").exists()


@pytest.mark.parametrize("fails_at", [0, 1, 5])
def test_a_push_that_fails_shows_no_version_and_can_be_repeated(
    store: Store, bundle: Path, tmp_path: Path, fails_at: int
) -> None:
    sent: list[str] = []
    store.before = lambda request: bool(sent.append(request)) or len(sent) <= fails_at
    with pytest.raises(StoreError, match="s3://bucket/models/breast-cancer/1: "):
        push(bundle, "s3://bucket/models")
    assert "models/breast-cancer/1/manifest.json" not in store.objects()
    with pytest.raises(UnknownModel, match="no bundle there"):
        pull("s3://bucket/models/breast-cancer", tmp_path / "pulled")
    store.before = lambda _: True
    assert push(bundle, "s3://bucket/models").is_new
    assert pull("s3://bucket/models/breast-cancer", tmp_path / "pulled").is_new


def test_the_manifest_is_sent_last(store: Store, bundle: Path) -> None:
    sent: list[str] = []
    store.before = lambda request: bool(sent.append(request)) or True
    push(bundle, "s3://bucket/models")
    keys = [request.split("/breast-cancer/1/")[1].partition("?")[0] for request in sent]
    assert set(keys) == set(files(bundle))
    assert set(keys[keys.index("manifest.json") :]) == {"manifest.json"}


def test_an_interrupted_pull_leaves_nothing(bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    push(bundle, str(tmp_path / "shared"))

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(pulling, "open_bundle", interrupt)
    with pytest.raises(KeyboardInterrupt):
        pull(str(tmp_path / "shared" / "breast-cancer"), tmp_path / "pulled")
    assert [*(tmp_path / "pulled").iterdir()] == []


def test_of_two_pulls_at_once_the_second_finds_the_version_there(bundle: Path, tmp_path: Path) -> None:
    copies = [tmp_path / "models2" / name for name in (".one", ".two")]
    for copy in copies:
        shutil.copytree(bundle, copy)
    target = tmp_path / "models2" / "breast-cancer" / "1"
    assert [place(copy, target) for copy in copies] == [True, False]


def test_a_folder_that_cannot_be_written_and_a_bucket_that_is_not_there_are_named(
    bundle: Path, tmp_path: Path, store: Store
) -> None:
    push(bundle, str(tmp_path / "shared"))
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageError, match="file/models"):
        pull(str(tmp_path / "shared" / "breast-cancer"), tmp_path / "file" / "models")
    with pytest.raises(InputError, match="bucket 'nothing' does not exist"):
        push(bundle, "s3://nothing/models")
    assert store.objects() == []


@pytest.mark.slow
@pytest.mark.usefixtures("store")
def test_a_store_that_is_away_is_named(bundle: Path, tmp_path: Path) -> None:
    away = "s3://bucket/models?endpoint_override=127.0.0.1:9&scheme=http"
    for work in (lambda: push(bundle, away), lambda: pull(away, tmp_path / "pulled")):
        with pytest.raises(VaeError, match="s3://bucket/models"):
            work()


def test_a_bundle_with_training_rows_gives_a_warning(
    bundle: Path, shown: Published, several: Published, tmp_path: Path
) -> None:
    assert push(bundle, str(tmp_path / "shared")).warning is None
    plain = push(several.root / several.name / "1", str(tmp_path / "shared"))
    assert plain.warning is None
    pushed = push(shown.root / shown.name / "1", str(tmp_path / "shared"))
    assert pushed.warning is not None
    rows = pushed.manifest.prior.components
    assert f"holds {rows} training rows, in its graphs and, in raw units, in exemplars.npz" in pushed.warning
    assert pull(f"{tmp_path}/shared/{shown.name}", tmp_path / "pulled").warning is not None


def test_files_that_are_no_part_of_a_bundle_stay(bundle: Path, tmp_path: Path) -> None:
    (bundle / "notes.txt").write_text("secret")
    (bundle / "report" / ".hidden").write_text("secret")
    push(bundle, str(tmp_path / "shared"))
    there = tmp_path / "shared" / "breast-cancer" / "1"
    assert {"notes.txt", "report/.hidden"} & files(there).keys() == set()
    (there / "extra.bin").write_bytes(b"x")
    pulled = pull(str(there), tmp_path / "pulled")
    assert "extra.bin" not in files(pulled.folder)


def test_the_shallowest_bundles_in_a_list_of_files_count() -> None:
    def found(*names: str) -> list[tuple[str | None, int | None, str]]:
        return [(one.name, one.version, one.prefix) for one in bundles(dict.fromkeys(names, ""))]

    assert found("manifest.json", "2/manifest.json") == [(None, None, "")]
    assert found("10/manifest.json", "2/manifest.json", "a/1/manifest.json") == [(None, 2, "2/"), (None, 10, "10/")]
    assert found("b/1/manifest.json", "a/3/manifest.json", "a/03/manifest.json") == [("a", 3, "a/3/"), ("b", 1, "b/1/")]
    assert found("A/1/manifest.json", "../1/manifest.json", "a/b/1/manifest.json", "a/0/manifest.json", "x") == []


def test_a_version_that_says_that_it_is_another_is_refused(bundle: Path, tmp_path: Path) -> None:
    push(bundle, str(tmp_path / "shared"))
    folder = tmp_path / "shared" / "breast-cancer"
    (folder / "1").rename(folder / "2")
    with pytest.raises(IntegrityError, match="version 2 there says that it is version 1"):
        pull(str(folder), tmp_path / "pulled")
    assert [*(tmp_path / "pulled").iterdir()] == []


def test_the_message_on_a_damaged_bundle_names_where_it_is(bundle: Path, tmp_path: Path) -> None:
    push(bundle, str(tmp_path / "shared"))
    damaged = tmp_path / "shared" / "breast-cancer" / "1" / "noise.npy"
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0\0")
    with pytest.raises(IntegrityError, match=f"^{damaged}: sha256 is"):
        pull(str(tmp_path / "shared" / "breast-cancer"), tmp_path / "pulled")


def test_accepting_a_proposed_version_reaches_the_store_and_its_copies(url: str, bundle: Path, tmp_path: Path) -> None:
    (bundle / PROPOSAL_FILE).write_text("{}", encoding="utf-8")
    push(bundle, url)
    copy = pull(f"{url}/breast-cancer", tmp_path / "pulled", version=1).folder
    accept(bundle)
    assert not push(bundle, url).is_new
    assert (copy / PROPOSAL_FILE).exists()
    assert not pull(f"{url}/breast-cancer", tmp_path / "pulled").is_new
    assert ((copy / PROPOSAL_FILE).exists(), (copy / "accepted.json").exists()) == (False, True)


def test_a_proposal_of_an_interrupted_push_does_not_stay(bundle: Path, tmp_path: Path) -> None:
    target = tmp_path / "shared" / "breast-cancer" / "1"
    target.mkdir(parents=True)
    (target / PROPOSAL_FILE).write_text("{}", encoding="utf-8")
    push(bundle, str(tmp_path / "shared"))
    assert not (target / PROPOSAL_FILE).exists()
