"""Publishing and opening versions in a models folder, models/<name>/<version>/."""

from __future__ import annotations

import json
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from vaekit.bundle import Calibration, find, models, open_bundle, publish, versions
from vaekit.bundle.write import calibration_file
from vaekit.errors import ForbiddenGraph, FormatError, IntegrityError, UnknownModel


def test_a_published_version_is_found_and_read_back(tiny, published, tmp_path):
    assert models(tmp_path) == ["tiny"]
    assert versions(tmp_path, "tiny") == [1]
    assert find(tmp_path, "tiny") == find(tmp_path, "tiny", 1) == published
    with open_bundle(published) as bundle:
        assert bundle.manifest == tiny.manifest
        np.testing.assert_array_equal(bundle.base_draws(), np.arange(8.0).reshape(4, 2))
        assert list(bundle.golden()) == ["x"]
        assert [c.n for c in bundle.calibrations().values()] == [3]
        assert bundle.graphs()["encode"].read_bytes() == tiny.files["encoder.onnx"]
    assert (published / "report" / "card.md").read_bytes() == b"# tiny"


def test_each_publication_gets_the_next_version(tiny, tmp_path):
    assert [publish(tmp_path, tiny.manifest, tiny.files).version for _ in range(3)] == [1, 2, 3]
    shutil.rmtree(tmp_path / "tiny" / "2")
    assert publish(tmp_path, tiny.manifest, tiny.files).version == 4
    assert find(tmp_path, "tiny").name == "4"
    assert versions(tmp_path, "tiny") == [1, 3, 4]


def test_pages_are_made_with_the_published_version_number(tiny, tmp_path):
    for version in (1, 2):
        publish(tmp_path, tiny.manifest, tiny.files, lambda manifest: {"report/v": f"{manifest.version}".encode()})
        assert (find(tmp_path, "tiny", version) / "report" / "v").read_text() == str(version)


def test_versions_are_sorted_as_numbers(tiny, tmp_path):
    for _ in range(11):
        publish(tmp_path, tiny.manifest, tiny.files)
    assert versions(tmp_path, "tiny") == list(range(1, 12))


@pytest.mark.timeout(20)
def test_an_incomplete_version_is_not_listed_and_not_overwritten(tiny, published, tmp_path):
    half = tmp_path / "tiny" / "2"
    half.mkdir()
    (half / "encoder.onnx").write_bytes(b"being written by another process")
    assert versions(tmp_path, "tiny") == [1]
    assert publish(tmp_path, tiny.manifest, tiny.files).version == 3
    assert [path.name for path in half.iterdir()] == ["encoder.onnx"]
    assert published.is_dir()


def test_folders_that_are_not_versions_are_not_listed(published, tmp_path):
    for name in ("0", "01", "-1", "latest", ".writing-x", "1.5", "9999999999"):
        shutil.copytree(published, tmp_path / "tiny" / name)
    shutil.copytree(tmp_path / "tiny", tmp_path / ".hidden")
    shutil.copytree(tmp_path / "tiny", tmp_path / "Upper")
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    assert versions(tmp_path, "tiny") == [1]
    assert models(tmp_path) == ["tiny"]


def test_a_missing_models_folder_has_no_models(tmp_path):
    assert models(tmp_path / "none") == []
    assert versions(tmp_path / "none", "tiny") == []


@pytest.mark.parametrize("name", ["..", "../tiny", "tiny/", "TINY", "", ".", "tiny/1", "a\0b"])
def test_an_invalid_model_name_is_unknown(published, tmp_path, name):
    assert published.is_dir()
    assert versions(tmp_path, name) == []
    with pytest.raises(UnknownModel, match="names must match"):
        find(tmp_path, name)


def test_the_error_for_an_unknown_model_or_version_lists_the_existing_ones(published, tmp_path):
    assert published.is_dir()
    with pytest.raises(UnknownModel, match=r"^no model 'other' in .*; models there: tiny$"):
        find(tmp_path, "other")
    with pytest.raises(UnknownModel, match=r"^no version 2 of model 'tiny'; versions: 1$"):
        find(tmp_path, "tiny", 2)
    with pytest.raises(UnknownModel, match="models there: none"):
        find(tmp_path / "none", "tiny")


def test_the_copy_is_private_and_is_deleted_on_close(published):
    bundle = open_bundle(published)
    folder = bundle.path("encoder.onnx").parent
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert not folder.is_relative_to(published)
    bundle.close()
    assert not folder.exists()


def test_an_open_bundle_is_not_affected_by_changes_to_its_source(tiny, published):
    with open_bundle(published) as bundle:
        (published / "encoder.onnx").write_bytes(b"tampered later")
        assert bundle.graphs()["encode"].read_bytes() == tiny.files["encoder.onnx"]


SIGNED = ("encoder.onnx", "decoder.onnx", "noise.npy", "golden.npz", "calibration.npz")


@pytest.mark.parametrize("file", SIGNED)
def test_the_error_names_a_file_that_differs_in_one_bit(published, file):
    data = bytearray((published / file).read_bytes())
    data[len(data) // 2] ^= 1
    (published / file).write_bytes(data)
    with pytest.raises(IntegrityError, match=f"{file}: sha256"):
        open_bundle(published)


@pytest.mark.parametrize("file", SIGNED)
@pytest.mark.parametrize("how", ["missing", "truncated", "a folder", "a dangling link", "a link in a circle"])
def test_the_error_names_a_file_that_is_missing_or_incomplete(published, file, how):
    path = published / file
    whole = path.read_bytes()
    path.unlink()
    if how == "truncated":
        path.write_bytes(whole[: len(whole) // 2])
    elif how == "a folder":
        path.mkdir()
    elif how != "missing":
        path.symlink_to("nothing" if how == "a dangling link" else file)
    with pytest.raises(IntegrityError, match=file):
        open_bundle(published)


def test_a_linked_graph_is_copied_and_verified_by_its_content(tiny, published, tmp_path):
    elsewhere = tmp_path / "elsewhere.onnx"
    shutil.move(published / "encoder.onnx", elsewhere)
    (published / "encoder.onnx").symlink_to(elsewhere)
    with open_bundle(published) as bundle:
        assert not bundle.graphs()["encode"].is_symlink()
        elsewhere.write_bytes(b"something else")
        assert bundle.graphs()["encode"].read_bytes() == tiny.files["encoder.onnx"]
    with pytest.raises(IntegrityError, match=r"encoder.onnx: sha256"):
        open_bundle(published)


def test_a_signed_graph_with_operators_of_another_domain_is_refused(tiny, tmp_path):
    from onnx import helper

    from tests.bundle.conftest import model_of
    from vaekit.bundle.write import digest

    evil = model_of([helper.make_node("Identity", ["x"], ["y"], domain="com.evil")]).SerializeToString()
    operations = dict(tiny.manifest.operations)
    operations["encode"] = operations["encode"].model_copy(update={"sha256": digest(evil)})
    manifest = tiny.manifest.model_copy(update={"operations": operations})
    publish(tmp_path, manifest, {**tiny.files, "encoder.onnx": evil})
    with pytest.raises(ForbiddenGraph, match=r"com.evil"):
        open_bundle(tmp_path / "tiny" / "1")


def test_a_newer_major_format_is_refused_before_the_files_are_read(published):
    manifest = json.loads((published / "manifest.json").read_text())
    (published / "manifest.json").write_text(json.dumps({**manifest, "format": "2.0"}))
    (published / "encoder.onnx").unlink()
    with pytest.raises(FormatError, match=r"manifest.json: format: '2.0'; this version reads .*: upgrade vaekit, or"):
        open_bundle(published)


def test_base_draws_of_another_shape_are_refused(tiny, tmp_path):
    manifest = tiny.manifest.model_copy(update={"latent_dim": 3})
    publish(tmp_path, manifest, tiny.files)
    with (
        open_bundle(tmp_path / "tiny" / "1") as bundle,
        pytest.raises(FormatError, match=r"\(4, 2\), expected \(4, 3\)"),
    ):
        bundle.base_draws()


def test_a_refused_bundle_leaves_no_copy(published, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "copies"))
    (tmp_path / "copies").mkdir()
    (published / "golden.npz").unlink()
    with pytest.raises(IntegrityError):
        open_bundle(published)
    assert list((tmp_path / "copies").iterdir()) == []


def test_the_scores_of_novel_held_out_rows_are_kept_apart(tiny, tmp_path):
    held_out = Calibration.of([3.0, 1.0, 2.0], [True, False, False])
    signed, content = calibration_file({(2, "float32"): held_out}, "none")
    manifest = tiny.manifest.model_copy(update={"calibration": signed})
    publish(tmp_path, manifest, {**tiny.files, signed.file: content})
    with open_bundle(tmp_path / "tiny" / "1") as bundle:
        (entry, read), *others = bundle.calibrations().items()
    assert not others
    assert (entry.n, read.n) == (3, 3)
    np.testing.assert_array_equal(read.scores, [1.0, 2.0])
    np.testing.assert_array_equal(read.novel_scores, [3.0])


UNREADABLE: dict[str, Callable[[Path], None]] = {
    "a link to nowhere": lambda path: path.symlink_to("nowhere"),
    "a link to itself": lambda path: path.symlink_to(path.name),
    "a folder": Path.mkdir,
    "a pipe": os.mkfifo,
}


@pytest.mark.timeout(20)
@pytest.mark.parametrize("case", UNREADABLE)
def test_a_version_whose_manifest_is_no_file_is_listed_and_fails_to_open(case, published, tmp_path):
    broken = published.parent / "2"
    broken.mkdir()
    UNREADABLE[case](broken / "manifest.json")
    assert versions(tmp_path, "tiny") == [1, 2]
    with pytest.raises(FormatError, match=r"2.*manifest\.json"):
        open_bundle(find(tmp_path, "tiny"))


def test_a_bundle_with_a_pipe_in_place_of_a_file_is_refused(published):
    (published / "encoder.onnx").unlink()
    os.mkfifo(published / "encoder.onnx")
    with pytest.raises(IntegrityError, match=r"encoder\.onnx: not a file$"):
        open_bundle(published)
