"""Bundles as bytes, for pickling; they are verified like a bundle in a folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from vaekit.bundle import open_bundle
from vaekit.bundle.packed import packed, unpacked
from vaekit.errors import IntegrityError


def test_a_bundle_is_unchanged_after_packing_and_unpacking(models_dir: Path) -> None:
    bundle = open_bundle(models_dir / "breast-cancer" / "1")
    files = packed(bundle)
    bundle.close()
    again = unpacked(files)
    assert again.manifest == bundle.manifest
    assert set(files) == {"manifest.json", *(part.file for part in bundle.manifest.files)}
    assert packed(again) == files
    again.close()


def test_a_changed_or_missing_packed_file_is_refused(models_dir: Path) -> None:
    bundle = open_bundle(models_dir / "breast-cancer" / "1")
    files = packed(bundle)
    bundle.close()
    with pytest.raises(IntegrityError, match=r"elbo\.onnx: sha256 is .*, the manifest has "):
        unpacked({**files, "elbo.onnx": files["elbo.onnx"] + b"\0"})
    del files["elbo.onnx"]
    with pytest.raises(IntegrityError, match=r"elbo\.onnx"):
        unpacked(files)
